# completions/ctxctl.bash - completion of ctxctl in bash. Installed as share/bash-completion/completions/ctxctl; without the
# package bash-completion, source it from ~/.bashrc.
#
# ctxctl itself knows what can stand at the cursor (its hidden command _complete, see cli/complete.h); this brings the words
# into the form of readline. Nothing is said, and nothing offered, where ctxctl is not there.

_ctxctl() {
	local cur='' stuck='' rest program line value text max=0 i
	local -a words=() first=() values=() texts=()

	# readline cuts words at = : @ as well. Whole words again; `first` is the piece each begins with.
	rest=${COMP_LINE:0:COMP_POINT}
	rest=${rest#*"${COMP_WORDS[0]}"}
	for ((i = 1; i <= COMP_CWORD; i++)); do
		line=${COMP_WORDS[i]}
		if [[ -z $rest || $rest == [[:space:]]* || ${#words[@]} -eq 0 ]]; then
			words+=('')
			first+=("$i")
			rest=${rest#"${rest%%[![:space:]]*}"}
		fi
		[[ $i -lt $COMP_CWORD ]] || line=$rest
		words[${#words[@]} - 1]+=$line
		rest=${rest#"$line"}
	done
	cur=${words[${#words[@]} - 1]}
	# What of the current word readline leaves as it is.
	for i in = : @; do
		if [[ $COMP_WORDBREAKS == *"$i"* && $cur == *"$i"* ]]; then
			line=${cur%"${cur##*"$i"}"}
			[[ ${#line} -le ${#stuck} ]] || stuck=$line
		fi
	done

	COMPREPLY=()
	program=$(type -P -- "${COMP_WORDS[0]}") || program=ctxctl
	while IFS= read -r line; do
		value=${line%%$'\t'*}
		text=${line#*$'\t'}
		if [[ -n $value ]]; then
			values+=("${value#"$stuck"}")
			texts+=("$text")
			[[ ${#value} -le $max ]] || max=${#value}
		else
			_ctxctl_leave "${text%%$'\t'*}" "${text#*$'\t'}" || return
		fi
	done < <("$program" _complete "${words[@]}" </dev/null 2>/dev/null)

	# With more than one, and where they are not to be inserted, what each is stands beside it.
	for i in "${!values[@]}"; do
		if [[ ${#values[@]} -gt 1 && -n ${texts[i]} && $COMP_TYPE != 37 && $COMP_TYPE != 42 ]]; then
			printf -v line '%-*s  (%s)' "$((max - ${#stuck}))" "${values[i]}" "${texts[i]}"
			COMPREPLY+=("${line:0:$((${COLUMNS:-80} - 2))}")
		elif [[ ${values[i]} == *[!A-Za-z0-9_.,:=@%/+-]* ]]; then
			printf -v line '%q' "${values[i]}"
			COMPREPLY+=("$line")
		else
			COMPREPLY+=("${values[i]}")
		fi
	done
	[[ ${#values[@]} -eq 0 ]] || compopt -o nosort 2>/dev/null
}

# What the shell knows itself. WHAT is of cli/complete.h; status 1: it is all there is to offer.
_ctxctl_leave() { # WHAT IN-FRONT-OF-THE-WORD | command N
	local word=${cur#"$2"} at

	case $1 in
	files)
		compopt -o filenames 2>/dev/null
		mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$word")
		;;
	dirs)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -d -- "$word")
		;;
	users)
		mapfile -t COMPREPLY < <(compgen -u -- "$word")
		;;
	hosts)
		if declare -F _known_hosts_real >/dev/null; then
			_known_hosts_real -a -- "$word"
		else
			at=$(sed -n 's/^[[:space:]]*[Hh]ost[[:space:]=]\{1,\}//p' ~/.ssh/config 2>/dev/null | tr -d '*?!')
			mapfile -t COMPREPLY < <(compgen -W "$at" -- "${word#*@}"; compgen -A hostname -- "${word#*@}")
		fi
		;;
	command)
		at=$((${#words[@]} - $2))
		if declare -F _command_offset >/dev/null; then
			_command_offset "${first[at]}"
		elif [[ $2 -eq 1 && $cur != */* ]]; then
			mapfile -t COMPREPLY < <(compgen -c -- "$cur")
		else
			compopt -o filenames 2>/dev/null
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		fi
		return 1
		;;
	esac
	return 0
}

complete -F _ctxctl ctxctl
