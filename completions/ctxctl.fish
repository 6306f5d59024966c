# completions/ctxctl.fish - completion of ctxctl in fish. Installed as share/fish/vendor_completions.d/ctxctl.fish.
#
# ctxctl itself knows what can stand at the cursor (its hidden command _complete, see cli/complete.h).

function __ctxctl_complete
	set -l words (commandline -opc)
	set -l cur (commandline -ct)
	set -l program $words[1]
	set -e words[1]
	for line in ($program _complete $words "$cur" </dev/null 2>/dev/null)
		set -l part (string split -- \t $line)
		if test -n "$part[1]"
			echo $line
			continue
		end
		set -l word (string sub -s (math (string length -- "$part[3]") + 1) -- "$cur")
		switch $part[2]
			case files
				for path in (__fish_complete_path "$word")
					echo -- $part[3]$path
				end
			case dirs
				for path in (__fish_complete_directories "$word" '')
					echo -- $part[3]$path
				end
			case users
				for user in (__fish_complete_users)
					echo -- $part[3]$user
				end
			case hosts
				set -l user (string replace -r -- '[^@]*$' '' "$word")
				for host in (__fish_print_hostnames)
					echo -- $part[3]$user$host
				end
			case command
				set -l all $words
				set -l before
				test $part[3] -gt 1; and set before (string escape -- $all[(math 1 - $part[3])..-1])
				complete -C (string join -- ' ' $before "$cur")
		end
	end
end

complete -c ctxctl -k -f -a '(__ctxctl_complete)'
