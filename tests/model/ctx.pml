/* ctx.pml - the recovery protocol of RECOVERY.md, as the three programs do it, for spin.
 *
 * Every process is a set of global variables and one loop of guarded steps. A step is what nothing can come in between: one
 * commit, one system call, one frame. So to kill a process is to clear its variables, between any two steps. Nothing here goes
 * on for ever: faults come from budgets, therefore "in the end" means: in every state where nothing can move any more (proctype
 * Settled), and run.sh also has the never claim `kept` checked, and that there are no cycles.
 *
 * What happens outside is chosen by these, all 0 unless said (run.sh has the configurations):
 *   NJ jobs, NA attempts of each    SLOTS 1 or 2    NL monitors that may be there at once
 *   REQUEUES of one that did not run, before it is given up
 *   CG=1 with cgroups                         CANCEL=1 each job may be cancelled    RETRY=1 and then retried
 *   ENDLESS=1 job 0 may never end             HARDY=1 a job may survive the death of its monitor
 *   KC KS KM KA KR deaths of ctxd, of the spawner, of a monitor, of all at once, of the machine
 *   KU the spawner is replaced by another version while its monitors live
 *   KW one wipe of the run directory, file by file, of so many files     KD reboots that keep the run directory
 *   KF commits that fail                      KE SPAWNs that fail        KX the run directory is full for a while
 * -DBUG_x reverses or drops one thing that the programs take care of; each must break the property that run.sh names for it.
 */
#ifndef NJ
#define NJ 1
#endif
#ifndef NA
#define NA 1
#endif
#ifndef NL
#define NL 2
#endif
#ifndef SLOTS
#define SLOTS 1
#endif
#ifndef REQUEUES
#define REQUEUES 2
#endif
#ifndef CG
#define CG 0
#endif
#ifndef CANCEL
#define CANCEL 0
#endif
#ifndef RETRY
#define RETRY 0
#endif
#ifndef ENDLESS
#define ENDLESS 0
#endif
#ifndef HARDY
#define HARDY 0
#endif
#ifndef KC
#define KC 0
#endif
#ifndef KS
#define KS 0
#endif
#ifndef KM
#define KM 0
#endif
#ifndef KA
#define KA 0
#endif
#ifndef KR
#define KR 0
#endif
#ifndef KU
#define KU 0
#endif
#ifndef KW
#define KW 0
#endif
#ifndef KD
#define KD 0
#endif
#ifndef KF
#define KF 0
#endif
#ifndef KE
#define KE 0
#endif
#ifndef KX
#define KX 0
#endif

/* The properties. -DONLY=x checks x alone. */
#define ONCE 1       /* an attempt is executed once; a requeue or a restart does not run it again */
#define KEPT 2       /* what was acknowledged ends, or waits for a slot that a living, watched job holds */
#define TRUE_END 3   /* an end that is committed is the one that was; one that is on disk is not thrown away */
#define CANCELS 4    /* a committed cancel is carried out, and only that of this attempt */
#define EVIDENCE 5   /* FORGET takes nothing that an active row rests on; SPAWN finds no old directory */
#define SLOT 6       /* one slot: one active row, and one tree of processes, but for known possible survivors */
#define NO_COST 7    /* without damage to monitor, machine or run directory no job is `interrupted` or swept alive */
#define CERTAIN 8    /* `interrupted` without `survivors_possible`: nothing of it is alive */
#define TIDY 9       /* after the end there is no directory, no monitor, no open `ctl` */
#ifndef ONLY
#define ONLY 0
#endif
#define P(n, x) assert((ONLY != 0 && ONLY != n) || (x))

#define ND (NJ * NA)
#define A(j) ((j) * NA + att[j]) /* the attempt; it has a directory of its own */
#define D(j) A(j)

mtype:row = { NOROW, QUEUED, RUNNING, STOPPING, DONE, CANCELED, LATE, INTERRUPTED, NOT_STARTED };
mtype:frame = { CLAIM, SPAWN, FORGET, SWEEP, WELCOME, CLAIMED, SWEPT };
mtype:mark = { NO_MARK, FRESH, STARTED, BARRED };
mtype:monitor = { GONE, FORKED, READY, WORKING, STOPS_ASKED, STOPS_LATE, EMPTIED, WRITTEN, TOLD, UNWRITTEN };
mtype:phase = { NO_LIVE, PUT_BACK, UNKNOWN, LINKED, SILENT, WAIT_UP, SWEEPING, SWEPT_, JUDGE, LATER };
mtype:link = { L_NONE, L_LOOKING, L_NEW, L_LIVE, L_DONE };
mtype:conn = { C_NONE, C_BACKLOG, C_OPEN };
mtype:spl = { DOWN, CONNECTED, CLAIMING, UP };

/* How a job ended. */
#define BY_ITSELF 1
#define BY_REQUEST 2
#define BY_DEADLINE 3
#define BY_SWEEP 4
#define BY_NOBODY 5      /* the command was not executed: what that needs is short */

/* ---- the database */
mtype:row st[NJ] = NOROW;
byte att[NJ], seq[NJ], row_boot[NJ], cancel_att[NJ]; /* cancel_att: attempt + 1 */
bool late[NJ];      /* stopping because of the deadline */
bool survivors[NJ];
byte requeues[NJ];
byte last_seq;

/* ---- the run directory */
byte seen;          /* + 1; 0: no such file */
bool d_is[ND];
mtype:mark d_mark[ND] = NO_MARK;
byte d_result[ND];
byte d_ctl[ND];     /* the monitor that the path names */
byte d_own[ND];     /* the monitor that works in it: by descriptor, never by path */
byte d_seq[ND];     /* only for EVIDENCE */
bool cg[ND];        /* its cgroup is there */
bool no_space;
byte spare;         /* only for BUG_SPARE_OF_THE_LIVING: who still works in the directory that serves next */
byte spare_of[NL + 1]; /* and in which one it finds itself then; + 1 */

/* ---- monitors and their jobs; a slot is used again when nothing of it is left */
mtype:monitor m[NL + 1] = GONE;
byte m_d[NL + 1], m_a[NL + 1], m_gen[NL + 1];
bool tree[NL + 1];  /* something of the job is alive */
bool m_stop[NL + 1]; /* a STOP frame is in its socket */
mtype:conn conn[NL + 1] = C_NONE; /* with ctxd */
bool say_hello[NL + 1], say_late[NL + 1], say_end[NL + 1]; /* frames on the way to ctxd */

/* ---- the spawner */
bool s_alive;
byte s_gen, s_hold; /* s_hold: whose `ctl` it has open */
bool s_child[ND];   /* forked by this spawner, alive or not, until FORGET */
bool s_waits;       /* a connection that has no WELCOME yet */
byte sw, sw_j, sw_d, sw_q, sw_m; /* the SPAWN in hand: step, job, directory, sequence, monitor */
chan old = [4] of { mtype:frame, byte, byte, byte };
chan req = [5] of { mtype:frame, byte, byte, byte }; /* job or last sequence, directory, sequence */
chan ack = [4] of { mtype:frame, byte, byte, byte };

/* ---- ctxd */
bool c_alive;
mtype:spl sp = DOWN;
byte sp_gen;        /* the spawner that the connection leads to */
mtype:phase ph[NJ] = NO_LIVE;
mtype:link l[NJ] = L_NONE;
byte l_m[NJ];       /* the monitor at the other end; 0: that end is in a SPAWN frame */
bool l_eof[NJ];     /* and the frame is gone */
byte end_[NJ];      /* an end that is to be committed */
bool uncertain[NJ], found_stopping[NJ];
bool unseen[NJ];    /* the spawner had not been asked to start it when it was linked */
bool fx_spawn[NJ], fx_stop[NJ], fx_forget[ND]; /* effects of the last commit */
byte picked;        /* what the scheduler chose, within one step */

/* ---- outside */
byte boot = 1;
bool hardy, endless;
bool want_cancel[NJ], want_retry[NJ];
byte kf = KF, ke = KE;

/* ---- the truth */
bool acked[NJ], cancel_came_late[NJ];
byte execs[ND], real[ND];
bool before[ND];    /* had ended before this ctxd began */
bool heard[ND];     /* ctxd read an end that was on disk by then */
bool found[NJ];     /* a result was there when SWEPT came */
bool damage;

#define ACTIVE(j) (st[j] == RUNNING || st[j] == STOPPING)
#define OVER(j) (st[j] == DONE || st[j] == CANCELED || st[j] == LATE || st[j] == INTERRUPTED || st[j] == NOT_STARTED)
#if NJ == 2
#ifdef BUG_START_WHILE_UNSEEN /* which raises jobs/seen past what waits for its verdict, and then ctxd dies again */
#define SLOT_FREE (SLOTS == 2 || (!ACTIVE(0) && !ACTIVE(1)))
#else
#define SLOT_FREE ((SLOTS == 2 && !unseen[0] && !unseen[1]) || (!ACTIVE(0) && !ACTIVE(1)))
#endif
#define FX (fx_spawn[0] || fx_spawn[1] || fx_stop[0] || fx_stop[1] || FX_FORGET)
#define LOOKS (IN_HAND(0) || IN_HAND(1))
#define ANY_QUEUED (st[0] == QUEUED || st[1] == QUEUED)
#define OTHER(j) (1 - (j))
#else
#define SLOT_FREE (!ACTIVE(0))
#define FX (fx_spawn[0] || fx_stop[0] || FX_FORGET)
#define LOOKS (IN_HAND(0))
#define ANY_QUEUED (st[0] == QUEUED)
#endif
#if ND == 1
#define FX_FORGET (fx_forget[0])
#elif ND == 2
#define FX_FORGET (fx_forget[0] || fx_forget[1])
#else
#define FX_FORGET (fx_forget[0] || fx_forget[1] || fx_forget[2] || fx_forget[3])
#endif
#define IN_HAND(j) (ph[j] == SILENT || ph[j] == JUDGE || ph[j] == PUT_BACK)
#define IDLE (c_alive && !FX && !LOOKS)
#define LINK_OK (s_alive && sp_gen == s_gen)
#ifdef BUG_SWEEP_WHILE_CLAIMING /* a second one follows, and its answer may be taken for one to a later SWEEP */
#define MAY_SWEEP SENDS
#else
#define MAY_SWEEP (LINK_OK && sp == UP)
#endif
#define SENDS (LINK_OK && (sp == CLAIMING || sp == UP))

#ifdef BUG_CTL_CLOSED_FIRST
#define OPEN(x) ((m[x] != GONE && m[x] != EMPTIED && m[x] != WRITTEN && m[x] != TOLD) || s_hold == (x))
#else
#define OPEN(x) (m[x] != GONE || s_hold == (x))
#endif
#define READABLE(x) (say_hello[x] || say_late[x] || say_end[x])
#define EOF(j) ((l_m[j] == 0 && l_eof[j]) || (l_m[j] != 0 && !READABLE(l_m[j]) && \
	((conn[l_m[j]] == C_BACKLOG && !OPEN(l_m[j])) || (conn[l_m[j]] == C_OPEN && m[l_m[j]] == GONE))))
#define OWN(x) (d_is[m_d[x]] && d_own[m_d[x]] == (x))

/* ============================================ monitors */

inline report(x) { if :: conn[x] == C_OPEN -> say_end[x] = true :: else fi }

proctype Monitor(byte x)
{
	byte y = 0;
	do
	/* Space for `result`, then fresh -> started; without that nothing is executed. */
	:: d_step { m[x] == FORKED ->
#ifdef BUG_STARTED_AFTER_EXEC
		m[x] = READY
#else
		if
		:: OWN(x) && d_mark[m_d[x]] == FRESH && !no_space -> d_mark[m_d[x]] = STARTED; m[x] = READY
		:: else -> m[x] = GONE
		fi
#endif
	}
	:: d_step { m[x] == READY ->
		execs[m_a[x]]++;
		P(ONCE, execs[m_a[x]] == 1);
		y = 1;
		do
		:: y <= NL -> P(SLOT, SLOTS == 2 || y == x || !tree[y] || survivors[m_a[y] / NA]); y++
		:: else -> break
		od;
		y = 0;
		tree[x] = true;
		m[x] = WORKING;
		if :: conn[x] == C_OPEN -> say_hello[x] = true :: else fi
	}
	:: d_step { m[x] == READY && ke > 0 -> ke--; real[m_a[x]] = BY_NOBODY; m[x] = EMPTIED }
#ifdef BUG_NOT_EXECUTED_IS_GUESSED
	:: d_step { m[x] == WORKING && tree[x] && ke > 0 -> ke--; tree[x] = false; real[m_a[x]] = BY_NOBODY; m[x] = EMPTIED }
#endif
#ifdef BUG_STARTED_AFTER_EXEC
	:: d_step { m[x] == WORKING && OWN(x) && d_mark[m_d[x]] == FRESH -> d_mark[m_d[x]] = STARTED }
#endif
	:: d_step { conn[x] == C_BACKLOG && (m[x] == WORKING || m[x] == STOPS_ASKED || m[x] == STOPS_LATE || m[x] == UNWRITTEN) ->
		conn[x] = C_OPEN;
		say_hello[x] = true;
		say_end[x] = (m[x] == UNWRITTEN)
	}
	:: d_step { m_stop[x] && m[x] != FORKED && m[x] != READY ->
		m_stop[x] = false;
		P(CANCELS, m[x] != WORKING || cancel_att[m_a[x] / NA] == m_a[x] % NA + 1);
		if :: m[x] == WORKING -> m[x] = STOPS_ASKED :: else fi
	}
	:: d_step { m[x] == WORKING && tree[x] && !(endless && m_a[x] / NA == 0) ->
		m[x] = STOPS_LATE;
		if :: conn[x] == C_OPEN -> say_late[x] = true :: else fi
	}
	:: d_step { m[x] == WORKING && tree[x] && !(endless && m_a[x] / NA == 0) ->
		tree[x] = false; real[m_a[x]] = BY_ITSELF; m[x] = EMPTIED }
	:: d_step { m[x] == STOPS_ASKED -> tree[x] = false; real[m_a[x]] = BY_REQUEST; m[x] = EMPTIED }
	:: d_step { m[x] == STOPS_LATE -> tree[x] = false; real[m_a[x]] = BY_DEADLINE; m[x] = EMPTIED }
	:: d_step { m[x] == WORKING && !tree[x] -> real[m_a[x]] = BY_SWEEP; m[x] = EMPTIED }
#ifdef BUG_TOLD_BEFORE_WRITTEN
	:: d_step { m[x] == EMPTIED -> report(x); m[x] = WRITTEN }
	:: d_step { m[x] == WRITTEN -> if :: OWN(x) -> d_result[m_d[x]] = real[m_a[x]] :: else fi; m[x] = TOLD }
#else
	:: d_step { m[x] == EMPTIED && !no_space -> if :: OWN(x) -> d_result[m_d[x]] = real[m_a[x]] :: else fi; m[x] = WRITTEN }
	:: d_step { m[x] == EMPTIED && no_space ->
		report(x);
#ifdef BUG_FULL_GIVES_UP
		m[x] = TOLD
#else
		m[x] = UNWRITTEN
#endif
	}
	:: d_step { m[x] == WRITTEN -> report(x); m[x] = TOLD }
#endif
#ifdef BUG_SPARE_OF_THE_LIVING
	:: d_step { m[x] == UNWRITTEN && spare_of[x] != 0 && !no_space -> /* over the other one's; it is of no use to it */
		d_result[spare_of[x] - 1] = 0; spare_of[x] = 0; m[x] = GONE }
	:: d_step { m[x] == UNWRITTEN && !OWN(x) && spare != x && spare_of[x] == 0 -> m[x] = GONE }
#else
	:: d_step { m[x] == UNWRITTEN && !OWN(x) -> m[x] = GONE }
#endif
	:: d_step { m[x] == UNWRITTEN && OWN(x) && !no_space -> d_result[m_d[x]] = real[m_a[x]]; m[x] = GONE }
	:: d_step { m[x] == TOLD -> m[x] = GONE } /* which closes `ctl` */
	/* What the kernel and the spawner do about a tree whose monitor was killed. */
	:: d_step { m[x] == GONE && tree[x] && (!hardy || (s_alive && m_gen[x] == s_gen)) -> tree[x] = false }
	od
}

/* ============================================ ctx-spawner */

inline remove_dir(d)
{
	d_is[d] = false; d_mark[d] = NO_MARK; d_result[d] = 0; d_ctl[d] = 0; d_own[d] = 0; d_seq[d] = 0
}
inline frame_lost(j, q) { if :: l[j] == L_NEW && l_m[j] == 0 && seq[j] == q -> l_eof[j] = true :: else fi }

#if ND == 1
#define slot_named(x) (d_own[0] == x || d_ctl[0] == x)
#elif ND == 2
#define slot_named(x) (d_own[0] == x || d_ctl[0] == x || d_own[1] == x || d_ctl[1] == x)
#else
#define slot_named(x) (d_own[0] == x || d_ctl[0] == x || d_own[1] == x || d_ctl[1] == x || d_own[2] == x || d_ctl[2] == x || \
	d_own[3] == x || d_ctl[3] == x)
#endif
/* A slot for a monitor: numbers mean nothing, so the lowest. */
inline free_slot(x)
{
	x = 1;
	do
	:: x <= NL && (m[x] != GONE || tree[x] || conn[x] != C_NONE || m_stop[x] || s_hold == x || slot_named(x)) -> x++
	:: else -> break
	od;
	assert(x <= NL)
}
inline build_dir() /* under another name, then renamed: it appears as a whole */
{
	P(EVIDENCE, !d_is[sw_d]);
	free_slot(sw_m);
	d_is[sw_d] = true; d_mark[sw_d] = FRESH; d_result[sw_d] = 0; d_seq[sw_d] = sw_q;
	d_own[sw_d] = sw_m; d_ctl[sw_d] = sw_m; s_hold = sw_m;
	m_d[sw_m] = sw_d; m_a[sw_m] = A(sw_j);
#ifdef BUG_SPARE_OF_THE_LIVING
	if :: spare != 0 -> spare_of[spare] = sw_d + 1; spare = 0 :: else fi;
#endif
#ifdef BUG_FRESH_IN_A_STEP_OF_ITS_OWN
	d_mark[sw_d] = NO_MARK;
#endif
	sw = 2
}
inline raise_seen()
{
	if :: seen < sw_q + 1 -> seen = sw_q + 1 :: else fi
}
inline fork_monitor()
{
	m[sw_m] = FORKED; m_gen[sw_m] = s_gen; m_stop[sw_m] = false; s_child[sw_d] = true; cg[sw_d] = CG;
	if
	:: c_alive && l[sw_j] == L_NEW && l_m[sw_j] == 0 && seq[sw_j] == sw_q -> l_m[sw_j] = sw_m; conn[sw_m] = C_OPEN
	:: else
	fi
}
inline spawned()
{
	sw = 0; sw_j = 0; sw_d = 0; sw_q = 0; sw_m = 0
}
inline sweep(d, fails)
{
	/* Of the two renames of `fresh`, this and the monitor's, one fails. What is barred never starts. */
#ifndef BUG_FRESH_LEFT
	if :: d_is[d] && d_mark[d] == FRESH && !fails -> d_mark[d] = BARRED :: else fi;
#endif
	y = 1;
	do
	:: y <= NL && m_d[y] == d ->
		P(NO_COST, damage || !tree[y]);
		if :: m_gen[y] == s_gen && s_child[d] -> m[y] = GONE; tree[y] = false :: else fi;
		if :: cg[d] -> tree[y] = false :: else fi;
		y++
	:: y <= NL && m_d[y] != d -> y++
	:: else -> break
	od;
	y = 0
}
#if defined(BUG_FRESH_LEFT) || defined(BUG_FRESH_IS_NEVER)
#define UNBORN(d) (d_is[d] && (d_mark[d] == FRESH || d_mark[d] == BARRED))
#else
#define UNBORN(d) (d_is[d] && d_mark[d] == BARRED)
#endif
/* What the answer says: nothing of it is alive, provably. */
#ifdef BUG_ABSENCE_IS_CERTAIN
#define SWEPT_CERTAIN(d) (s_child[d] || cg[d] || !d_is[d] || UNBORN(d))
#else
#ifdef BUG_ALWAYS_CERTAIN
#define SWEPT_CERTAIN(d) true
#else
#define SWEPT_CERTAIN(d) (s_child[d] || cg[d] || UNBORN(d))
#endif
#endif

proctype Spawner()
{
	byte x = 0, y = 0, z = 0;
	do
	:: d_step { !s_alive -> s_alive = true; s_gen++ }
	/* Older connections are read to their end before a newer one is answered. */
#ifdef BUG_WELCOME_AT_ONCE
	:: d_step { s_alive && sw == 0 && s_waits -> s_waits = false; ack ! WELCOME(0, 0, 0) }
#else
	:: d_step { s_alive && sw == 0 && s_waits && empty(old) -> s_waits = false; ack ! WELCOME(0, 0, 0) }
#endif
	:: d_step { s_alive && sw == 0 && req ? [CLAIM] -> req ? CLAIM(x, _, _);
		if :: seen == 0 -> seen = x + 1 :: else fi;
		x = 0;
		y = 0;
		do
		:: y < ND && d_is[y] -> x = x | (1 << y); y++
		:: y < ND && !d_is[y] -> y++
		:: else -> break
		od;
		ack ! CLAIMED(x, seen, 0);
		x = 0; y = 0
	}
	/* A frame of this connection, or of one whose ctxd is dead. */
	:: d_step { s_alive && sw == 0 && req ? [SPAWN] -> req ? SPAWN(sw_j, sw_d, sw_q); sw = 1 }
	:: d_step { s_alive && sw == 0 && old ? [SPAWN] -> old ? SPAWN(sw_j, sw_d, sw_q); sw = 1 }
	:: d_step { s_alive && sw == 0 && (req ? [FORGET] || old ? [FORGET]) ->
		if :: old ? [FORGET] -> old ? FORGET(_, y, _) :: else -> req ? FORGET(_, y, _) fi;
		P(EVIDENCE, !d_is[y] || !ACTIVE(y / NA) || D(y / NA) != y || d_seq[y] != seq[y / NA]);
#ifdef BUG_SPARE_OF_THE_LIVING
		if :: d_is[y] && d_own[y] != 0 && m[d_own[y]] == UNWRITTEN -> spare = d_own[y] :: else fi;
#endif
		remove_dir(y);
		s_child[y] = false;
		x = 1;
		do
		:: x <= NL && m_d[x] == y && cg[y] -> /* a command that is not there yet cannot be put into a cgroup that is gone */
			tree[x] = false;
			if :: m[x] == READY -> m[x] = GONE :: else fi;
			x++
		:: x <= NL && !(m_d[x] == y && cg[y]) -> x++
		:: else -> break
		od;
		cg[y] = false;
		x = 0; y = 0
	}
	:: d_step { s_alive && sw == 0 && (req ? [SWEEP] || old ? [SWEEP]) ->
		if
		:: old ? [SWEEP] -> old ? SWEEP(z, x, _); sweep(x, false)
		:: else -> req ? SWEEP(z, x, _); sweep(x, false); ack ! SWEPT(z, x, SWEPT_CERTAIN(x))
		fi;
		x = 0; z = 0
	}
	:: d_step { s_alive && sw == 0 && req ? [SWEEP] && ke > 0 -> /* the rename fails: nothing is barred */
		ke--;
		req ? SWEEP(z, x, _); sweep(x, true); ack ! SWEPT(z, x, SWEPT_CERTAIN(x));
		x = 0; z = 0
	}
	:: d_step { old ? [CLAIM] -> old ? CLAIM(_, _, _) }
	/* SPAWN: the directory; seen; the fork; our copy of ctl closed. */
	:: d_step { s_alive && sw == 1 -> build_dir() }
#ifdef BUG_FRESH_IN_A_STEP_OF_ITS_OWN
	:: d_step { s_alive && sw >= 2 && d_is[sw_d] && d_own[sw_d] == sw_m && d_mark[sw_d] == NO_MARK -> d_mark[sw_d] = FRESH }
#endif
#ifdef BUG_SEEN_AFTER_FORK
	:: d_step { s_alive && sw == 2 -> fork_monitor(); sw = 3 }
	:: d_step { s_alive && sw == 3 -> raise_seen(); sw = 4 }
#else
	:: d_step { s_alive && sw == 2 -> raise_seen(); sw = 3 }
	:: d_step { s_alive && sw == 3 -> fork_monitor(); sw = 4 }
#endif
	:: d_step { s_alive && sw == 4 ->
#ifndef BUG_CTL_KEPT
		s_hold = 0;
#endif
		spawned()
	}
	/* It fails: before anything is there, or instead of the fork. */
	:: d_step { s_alive && ke > 0 && (sw == 1 || sw == 3) -> ke--; s_hold = 0; frame_lost(sw_j, sw_q); spawned() }
	od
}

/* ============================================ ctxd */

/* The scheduler, right before a commit. */
inline schedule()
{
	if
#ifdef BUG_SLOT_BEFORE_COMMIT
	:: sp == UP && st[0] == QUEUED && (NJ == 1 || !ACTIVE(1) || end_[1] != 0) -> picked = 0; start_row()
#else
	:: sp == UP && SLOT_FREE && st[0] == QUEUED -> picked = 0; start_row()
#endif
#if NJ == 2
#ifdef BUG_SLOT_BEFORE_COMMIT
	:: sp == UP && st[1] == QUEUED && (!ACTIVE(0) || end_[0] != 0) -> picked = 1; start_row()
#else
	:: sp == UP && SLOT_FREE && st[1] == QUEUED -> picked = 1; start_row()
#endif
#endif
	:: !(sp == UP && SLOT_FREE && ANY_QUEUED)
	fi;
	picked = 0
}
inline start_row()
{
	P(CANCELS, cancel_att[picked] != att[picked] + 1);
#if NJ == 2
	P(SLOT, SLOTS == 2 || !ACTIVE(OTHER(picked)));
#endif
	last_seq++;
	seq[picked] = last_seq;
	row_boot[picked] = boot;
	st[picked] = RUNNING;
	late[picked] = false;
	fx_spawn[picked] = true
}

inline live_drop(j)
{
	ph[j] = NO_LIVE; end_[j] = 0; uncertain[j] = false; found_stopping[j] = false; found[j] = false; unseen[j] = false;
	unlink_(j)
}
inline unlink_(j)
{
	if
	:: l_m[j] != 0 -> conn[l_m[j]] = C_NONE; say_hello[l_m[j]] = false; say_late[l_m[j]] = false; say_end[l_m[j]] = false
	:: else
	fi;
	l[j] = L_NONE; l_m[j] = 0; l_eof[j] = false
}

/* A commit that may fail: then nothing of it happened, and its effects are dropped. */
#define FAILS (kf > 0)

inline stopped_state(j) { st[j] = (late[j] -> LATE : CANCELED) }

inline commit_end(j)
{
	P(TRUE_END, end_[j] == real[A(j)]);
	P(CANCELS, end_[j] != BY_REQUEST || st[j] == STOPPING);
	if
	:: end_[j] == BY_NOBODY && st[j] == STOPPING -> stopped_state(j)
	:: end_[j] == BY_NOBODY && st[j] == RUNNING && requeues[j] < REQUEUES -> requeues[j]++; st[j] = QUEUED
	:: end_[j] == BY_NOBODY && st[j] == RUNNING && requeues[j] >= REQUEUES -> P(TRUE_END, execs[A(j)] == 0); st[j] = NOT_STARTED
	:: st[j] == STOPPING && end_[j] != BY_NOBODY && !(end_[j] == BY_ITSELF && before[A(j)] && !found_stopping[j]) -> stopped_state(j)
	:: st[j] == STOPPING && end_[j] == BY_ITSELF && before[A(j)] && !found_stopping[j] -> st[j] = DONE
	:: st[j] == RUNNING && end_[j] == BY_DEADLINE -> st[j] = LATE
	:: st[j] == RUNNING && end_[j] != BY_DEADLINE && end_[j] != BY_NOBODY -> st[j] = DONE
	fi;
	fx_forget[D(j)] = true;
	live_drop(j)
}

inline never_ran(j)
{
	if
	:: st[j] == STOPPING -> stopped_state(j)
	:: st[j] == RUNNING && requeues[j] < REQUEUES -> requeues[j]++; st[j] = QUEUED
	:: st[j] == RUNNING && requeues[j] >= REQUEUES -> P(TRUE_END, execs[A(j)] == 0); st[j] = NOT_STARTED
	fi;
	fx_forget[D(j)] = true;
	live_drop(j)
}

inline interrupted(j)
{
	P(NO_COST, damage);
	/* With a wiped `ctl` its monitor cannot be found, and may write its result right after the look. */
	P(TRUE_END, !(d_is[D(j)] && d_ctl[D(j)] != 0 && d_result[D(j)] != 0));
	P(TRUE_END, !(found[j] && d_result[D(j)] != 0));
	P(TRUE_END, KW > 0 || !heard[A(j)]);
	x = 1;
	do
	:: x <= NL -> P(CERTAIN, uncertain[j] || !tree[x] || m_a[x] != A(j) || cg[D(j)]); x++ /* FORGET empties a cgroup */
	:: else -> break
	od;
	x = 0;
	st[j] = INTERRUPTED;
	survivors[j] = uncertain[j];
	fx_forget[D(j)] = true;
	live_drop(j)
}

#ifdef BUG_ABSENCE_IS_NEVER
#define UNSEEN(j) true
#else
#ifdef BUG_UNSEEN_FORGOTTEN
#define UNSEEN(j) (seen != 0 && seen - 1 < seq[j])
#else
#define UNSEEN(j) (unseen[j] || (seen != 0 && seen - 1 < seq[j]))
#endif
#endif
#ifdef BUG_NO_STARTED_IS_NEVER
#define NEVER_RAN(j) (d_is[D(j)] && d_mark[D(j)] != STARTED || !d_is[D(j)] && UNSEEN(j))
#else
#define NEVER_RAN(j) (UNBORN(D(j)) || !d_is[D(j)] && UNSEEN(j))
#endif

/* A result of which the same attempt is made again is no last word: a FORGET and a SPAWN may be under way. So not before SWEPT. */
#ifdef BUG_UNEXECUTED_BEFORE_SWEPT
#define ENDED(j) (d_is[D(j)] && d_result[D(j)] != 0)
#else
#define ENDED(j) (d_is[D(j)] && d_result[D(j)] != 0 && d_result[D(j)] != BY_NOBODY)
#endif

inline refused(j)
{
	unlink_(j);
	if :: end_[j] == 0 -> ph[j] = SILENT :: else fi
}
inline connected(j)
{
	l_m[j] = d_ctl[D(j)];
	l[j] = L_NEW;
	conn[l_m[j]] = C_BACKLOG; say_hello[l_m[j]] = false; say_late[l_m[j]] = false; say_end[l_m[j]] = false;
#ifdef BUG_HELLO_NOT_NEEDED
	l[j] = L_LIVE; ph[j] = LINKED;
#endif
}

proctype Ctxd(byte j)
{
	byte x = 0, y = 0;
	do
	/* ---- effects, before anything else is looked at */
	:: d_step { c_alive && fx_stop[j] ->
		fx_stop[j] = false;
		if :: l[j] == L_LIVE -> m_stop[l_m[j]] = true :: else fi
	}
	:: d_step { c_alive && fx_spawn[j] && !FX_FORGET ->
		fx_spawn[j] = false;
		ph[j] = UNKNOWN;
		if
		:: LINK_OK -> req ! SPAWN(j, D(j), seq[j]); l[j] = L_NEW; l_m[j] = 0; l_eof[j] = false
		:: else -> ph[j] = PUT_BACK; sp = DOWN
		fi
	}
	/* It could not be sent: so it did not run. */
	:: d_step { c_alive && !FX && ph[j] == PUT_BACK -> never_ran(j) }
	:: d_step { c_alive && !FX && ph[j] == PUT_BACK && FAILS -> kf--; ph[j] = UNKNOWN; l[j] = L_LOOKING }

	/* ---- the recovery table */
	:: d_step { IDLE && l[j] == L_LOOKING && d_is[D(j)] && d_ctl[D(j)] != 0 && OPEN(d_ctl[D(j)]) -> connected(j) }
	:: d_step { IDLE && l[j] == L_LOOKING && !(d_is[D(j)] && d_ctl[D(j)] != 0 && OPEN(d_ctl[D(j)])) -> refused(j) }
#ifdef BUG_ANY_ERROR_IS_REFUSAL
	:: d_step { IDLE && l[j] == L_LOOKING && ke > 0 -> ke--; refused(j) }
#endif
	/* From here to SWEEP nothing else is done: what was refused is still so. */
	:: d_step { c_alive && ph[j] == SILENT ->
		if
		:: ENDED(j) -> end_[j] = d_result[D(j)]; ph[j] = UNKNOWN
#ifdef BUG_NO_SWEEP
		:: else -> ph[j] = JUDGE
#else
#ifdef BUG_SWEEP_BEFORE_WELCOME
		:: !(ENDED(j)) && LINK_OK && sp != DOWN -> req ! SWEEP(j, D(j), 0); ph[j] = SWEEPING
#else
		:: !(ENDED(j)) && MAY_SWEEP -> req ! SWEEP(j, D(j), 0); ph[j] = SWEEPING
#endif
		:: else -> ph[j] = WAIT_UP
#endif
		fi
	}
	:: d_step { c_alive && ph[j] == SILENT && ke > 0 -> ke--; /* the directory cannot be read now */
#ifdef BUG_OLD_LOOK
		ph[j] = LATER
#else
		ph[j] = UNKNOWN; l[j] = L_LOOKING
#endif
	}
#ifdef BUG_OLD_LOOK
	:: d_step { IDLE && ph[j] == LATER -> ph[j] = SILENT }
#endif
	:: d_step { IDLE && ph[j] == SWEPT_ ->
		if
#ifndef BUG_NO_SECOND_LOOK
		:: d_is[D(j)] && d_result[D(j)] != 0 -> end_[j] = d_result[D(j)]; ph[j] = UNKNOWN
#endif
#if !defined(BUG_FRESH_LEFT) && !defined(BUG_FRESH_IS_NEVER) && !defined(BUG_NO_STARTED_IS_NEVER)
		:: d_is[D(j)] && d_mark[D(j)] == FRESH -> ph[j] = UNKNOWN; l[j] = L_LOOKING /* it may still start */
#endif
		:: else -> ph[j] = JUDGE
		fi
	}
	:: d_step { c_alive && ph[j] == JUDGE && NEVER_RAN(j) -> never_ran(j) }
	:: d_step { c_alive && ph[j] == JUDGE && !NEVER_RAN(j) -> interrupted(j) }
	:: d_step { c_alive && ph[j] == JUDGE && FAILS -> kf--; ph[j] = SWEPT_ }

	/* ---- the monitor */
	:: d_step { IDLE && l_m[j] != 0 && say_hello[l_m[j]] ->
		say_hello[l_m[j]] = false;
		l[j] = L_LIVE;
		ph[j] = LINKED;
#ifndef BUG_CANCEL_TOLD_ONCE
#ifdef BUG_CANCEL_WITHOUT_ATTEMPT
		if :: cancel_att[j] != 0 -> m_stop[l_m[j]] = true :: else fi
#else
		if :: cancel_att[j] == att[j] + 1 -> m_stop[l_m[j]] = true :: else fi
#endif
#endif
	}
	:: d_step { IDLE && l_m[j] != 0 && !say_hello[l_m[j]] && say_late[l_m[j]] ->
		say_late[l_m[j]] = false;
		if :: st[j] == RUNNING && end_[j] == 0 -> st[j] = STOPPING; late[j] = true :: else fi
	}
	:: d_step { IDLE && l_m[j] != 0 && !say_hello[l_m[j]] && say_late[l_m[j]] && FAILS -> kf--; say_late[l_m[j]] = false }
	:: d_step { IDLE && l_m[j] != 0 && !say_hello[l_m[j]] && !say_late[l_m[j]] && say_end[l_m[j]] ->
		say_end[l_m[j]] = false;
		l[j] = L_DONE;
		end_[j] = real[m_a[l_m[j]]];
		heard[A(j)] = (m[l_m[j]] != UNWRITTEN && KX == 0)
#ifdef BUG_FORGET_BEFORE_COMMIT
		; fx_forget[D(j)] = true
#endif
	}
	:: d_step { IDLE && (l[j] == L_NEW || l[j] == L_LIVE || l[j] == L_DONE) && EOF(j) ->
		if
		:: l[j] == L_DONE -> unlink_(j)
#ifdef BUG_EOF_IS_DEATH
		:: l[j] != L_DONE -> unlink_(j); ph[j] = JUDGE
#endif
#ifdef BUG_HELLO_NOT_NEEDED
		:: l[j] == L_LIVE -> unlink_(j); ph[j] = JUDGE
#endif
		:: else -> unlink_(j); l[j] = L_LOOKING
		fi
	}
	:: atomic { IDLE && end_[j] != 0 -> commit_end(j); schedule() }
	:: d_step { IDLE && end_[j] != 0 && FAILS -> kf--
#ifdef BUG_EFFECTS_OF_A_FAILED_COMMIT
		; fx_forget[D(j)] = true
#endif
	}

	/* ---- clients */
	:: atomic { IDLE && st[j] == NOROW && !acked[j] -> acked[j] = true; st[j] = QUEUED; schedule() }
	:: d_step { IDLE && st[j] == NOROW && !acked[j] && FAILS -> kf--
#ifdef BUG_ANSWER_BEFORE_COMMIT
		; acked[j] = true
#endif
	}
	:: d_step { IDLE && want_cancel[j] && st[j] == QUEUED -> want_cancel[j] = false; st[j] = CANCELED; late[j] = false }
	:: d_step { IDLE && want_cancel[j] && (OVER(j) || st[j] == STOPPING) -> want_cancel[j] = false }
	:: d_step { IDLE && want_cancel[j] && st[j] == RUNNING ->
		want_cancel[j] = false;
		st[j] = STOPPING; late[j] = false; cancel_att[j] = att[j] + 1;
		cancel_came_late[j] = (real[A(j)] != 0 && real[A(j)] != BY_NOBODY);
		fx_stop[j] = true
	}
	:: d_step { IDLE && want_cancel[j] && st[j] == RUNNING && FAILS -> kf--
#ifdef BUG_STOP_BEFORE_COMMIT
		; fx_stop[j] = true
#endif
	}
	:: d_step { IDLE && want_retry[j] && att[j] + 1 < NA && OVER(j) && (!survivors[j]
#ifdef BUG_RETRY_WITH_SURVIVORS
			|| true
#endif
			) ->
		want_retry[j] = false; att[j]++; st[j] = QUEUED; requeues[j] = 0; survivors[j] = false; late[j] = false; cancel_came_late[j] = false
#ifndef BUG_CANCEL_WITHOUT_ATTEMPT
		; cancel_att[j] = 0
#endif
	}
	od
}

#ifdef BUG_NO_BOOT_ID
#define SAME_BOOT(i) true
#else
#define SAME_BOOT(i) (row_boot[i] == boot)
#endif

/* The link to the spawner, the scheduler when nothing else is committed, and the start. */
proctype Ctxd_link()
{
	byte x = 0, y = 0, i = 0;
	do
	:: d_step { !c_alive ->
		c_alive = true;
		do
		:: i < NJ ->
			if
			:: ACTIVE(i) && !SAME_BOOT(i) -> st[i] = INTERRUPTED; survivors[i] = false
			:: ACTIVE(i) && SAME_BOOT(i) -> ph[i] = UNKNOWN; l[i] = L_LOOKING; found_stopping[i] = (st[i] == STOPPING)
			:: else
			fi;
			i++
		:: else -> break
		od;
		i = 0;
		do :: i < ND -> before[i] = (real[i] != 0 && real[i] != BY_NOBODY); i++ :: else -> break od;
		i = 0
	}
	:: d_step { IDLE && sp == DOWN && s_alive -> sp = CONNECTED; sp_gen = s_gen; s_waits = true
#ifdef BUG_NO_WELCOME
		; s_waits = false; sp = CLAIMING; req ! CLAIM(last_seq, 0, 0)
#endif
	}
	:: d_step { IDLE && sp != DOWN && !LINK_OK && empty(ack) -> sp = DOWN }
	:: d_step { IDLE && ack ? [WELCOME] -> ack ? WELCOME(_, _, _); if :: LINK_OK -> req ! CLAIM(last_seq, 0, 0) :: else fi; sp = CLAIMING }
	:: d_step { IDLE && ack ? [CLAIMED] -> ack ? CLAIMED(x, y, _);
		sp = UP;
		do      /* what no active row names */
		:: i < ND ->
			if
			:: (x & (1 << i)) && !(ph[i / NA] != NO_LIVE && D(i / NA) == i) -> fx_forget[i] = true
			:: else
			fi;
			i++
		:: else -> break
		od;
		i = 0;
		do      /* every job without a link is looked at again */
		:: i < NJ ->
#ifndef BUG_NO_LOOK_AGAIN
			if
			:: ph[i] != NO_LIVE && ph[i] != PUT_BACK && l[i] != L_LIVE && l[i] != L_DONE && end_[i] == 0 ->
				ph[i] = UNKNOWN;
				unseen[i] = (y - 1 < seq[i]);
				if :: l[i] == L_NONE -> l[i] = L_LOOKING :: else fi
			:: else
			fi;
#endif
			i++
		:: else -> break
		od;
		i = 0; x = 0; y = 0
	}
	:: d_step { IDLE && ack ? [SWEPT] -> ack ? SWEPT(x, y, i);
		if
		:: ph[x] == SWEEPING && D(x) == y -> ph[x] = SWEPT_; uncertain[x] = (i == 0); found[x] = (d_result[D(x)] != 0)
		:: else
		fi;
		x = 0; y = 0; i = 0
	}
	:: d_step { c_alive && FX_FORGET ->
		do
		:: i < ND && !fx_forget[i] -> i++
		:: else -> break
		od;
		fx_forget[i] = false;
		if :: SENDS -> req ! FORGET(0, i, 0) :: else fi;
		i = 0
	}
	:: atomic { IDLE && sp == UP && SLOT_FREE && ANY_QUEUED -> schedule() }
	:: d_step { IDLE && sp == UP && SLOT_FREE && ANY_QUEUED && FAILS -> kf--
#ifdef BUG_SPAWN_BEFORE_COMMIT
		; if :: st[0] == QUEUED && LINK_OK -> req ! SPAWN(0, D(0), last_seq + 1) :: else fi
#endif
	}
	od
}

/* ============================================ the world */

inline kill_ctxd()
{
	c_alive = false; sp = DOWN; sp_gen = 0; s_waits = false;
	do :: nempty(req) -> req ? f, x, y, z; old ! f, x, y, z :: empty(req) -> break od;
	do :: nempty(ack) -> ack ? _, _, _, _ :: empty(ack) -> break od;
	x = 0;
	do
	:: x < NJ -> live_drop(x); fx_spawn[x] = false; fx_stop[x] = false; x++
	:: else -> break
	od;
	x = 0;
	do :: x < ND -> fx_forget[x] = false; x++ :: else -> break od;
	x = 0; y = 0; z = 0
}
inline kill_spawner()
{
	s_alive = false; s_hold = 0; s_waits = false;
	do :: nempty(req) -> req ? _, x, _, z; lost(x, z) :: empty(req) -> break od;
	do :: nempty(old) -> old ? _, _, _, _ :: empty(old) -> break od;
	if :: sw == 1 || sw == 2 || sw == 3 -> frame_lost(sw_j, sw_q) :: else fi;
	spawned();
	x = 0;
	do :: x < ND -> s_child[x] = false; x++ :: else -> break od;
	x = 0; z = 0
}
inline lost(j, q) { if :: q != 0 -> frame_lost(j, q) :: else fi }

proctype World()
{
	mtype:frame f;
	byte x = 0, y = 0, z = 0, i = 0;
	byte kc = KC, ks = KS, km = KM, ka = KA, kr = KR, ku = KU, kw = KW, kd = KD, kx = KX;
	do
	:: d_step { kc > 0 && c_alive -> kc--; kill_ctxd() }
	:: d_step { ks > 0 && s_alive -> ks--; kill_spawner() }
	:: d_step { ku > 0 && s_alive && sw == 0 -> ku--; kill_spawner();
#ifdef BUG_UPGRADE_KILLS_MONITORS
		i = 1;
		do :: i <= NL -> m[i] = GONE; i++ :: else -> break od;
		i = 0;
#endif
		s_alive = true; s_gen++ }
#if KM > 0
	:: d_step { km > 0 && m[1] != GONE -> km--; damage = true; m[1] = GONE }
	:: d_step { km > 0 && m[2] != GONE -> km--; damage = true; m[2] = GONE }
#endif
	:: d_step { ka > 0 && c_alive && s_alive -> ka--; damage = true; kill_ctxd(); kill_spawner();
		i = 1;
		do :: i <= NL -> m[i] = GONE; i++ :: else -> break od;
		i = 0
	}
	:: atomic { kr > 0 && c_alive && s_alive && last_seq > 0 -> kr--; damage = true; kill_ctxd(); kill_spawner();
		boot++;
		i = 1;
		do :: i <= NL -> m[i] = GONE; tree[i] = false; m_stop[i] = false; i++ :: else -> break od;
		i = 0;
		do :: i < ND -> cg[i] = false; i++ :: else -> break od;
		i = 0;
		if
		:: true -> seen = 0; do :: i < ND -> remove_dir(i); i++ :: else -> break od
		:: kd > 0 -> kd--; do :: i < ND && d_mark[i] == STARTED -> d_mark[i] = FRESH; d_result[i] = 0; i++
			:: i < ND && d_mark[i] != STARTED -> i++ :: else -> break od
		fi;
		i = 0
	}
#if KW > 0
	:: d_step { kw > 0 && d_mark[0] != NO_MARK -> kw--; damage = true; d_mark[0] = NO_MARK }
	:: d_step { kw > 0 && d_result[0] != 0 -> kw--; damage = true; d_result[0] = 0 }
	:: d_step { kw > 0 && d_ctl[0] != 0 -> kw--; damage = true; d_ctl[0] = 0 }
	:: d_step { kw > 0 && d_is[0] -> kw--; damage = true; remove_dir(0) }
#if ND > 1
	:: d_step { kw > 0 && d_is[1] -> kw--; damage = true; remove_dir(1) }
#endif
	:: d_step { kw > 0 && seen != 0 -> kw--; damage = true; seen = 0 }
#endif
	:: d_step { kx > 0 && !no_space -> kx--; no_space = true }
	:: d_step { no_space -> no_space = false }
	od
}

#define WATCHED(j) (st[j] == RUNNING && ph[j] == LINKED && l[j] == L_LIVE && m[l_m[j]] == WORKING && tree[l_m[j]])

proctype Settled()
{
	byte i = 0;
	timeout;
	d_step {
		do
		:: i < NJ ->
			P(KEPT, !acked[i] || OVER(i) || (WATCHED(i) && endless && i == 0) ||
				(NJ == 2 && i == 1 && st[i] == QUEUED && WATCHED(0) && endless));
			P(CANCELS, cancel_att[i] != att[i] + 1 || st[i] == CANCELED || st[i] == INTERRUPTED ||
				(st[i] == DONE && cancel_came_late[i]));
			i++
		:: else -> break
		od;
		i = 0;
		do
		:: i < ND ->
			P(TIDY, !d_is[i] || ACTIVE(i / NA));
			i++
		:: else -> break
		od;
		i = 1;
		do
		:: i <= NL ->
			P(CERTAIN, !tree[i] || WATCHED(m_a[i] / NA) || survivors[m_a[i] / NA]);
			P(TIDY, m[i] == GONE || WATCHED(m_a[i] / NA) || survivors[m_a[i] / NA]);
			i++
		:: else -> break
		od;
		P(TIDY, s_hold == 0)
	}
}

#ifdef CLAIM_KEPT
ltl kept { [] (acked[0] -> <> (OVER(0))) }
#endif

init {
	byte i = 0;
	atomic {
		if :: HARDY -> hardy = true :: true fi;
		if :: ENDLESS -> endless = true :: true fi;
		do
		:: i < NJ ->
			if :: CANCEL -> want_cancel[i] = true :: true fi;
			if :: RETRY -> want_retry[i] = true :: true fi;
			i++
		:: else -> break
		od;
		i = 1;
		do :: i <= NL -> run Monitor(i); i++ :: else -> break od;
		i = 0;
		run Spawner();
		do :: i < NJ -> run Ctxd(i); i++ :: else -> break od;
		run Ctxd_link();
		run World();
		run Settled()
	}
}
