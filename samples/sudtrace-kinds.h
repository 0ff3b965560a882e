/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How sudtrace shows the arguments of a call: a letter for each of them. A call that is not listed is shown with
 * six numbers.
 *
 *	d  a number, such as a file descriptor		D  the same, of a directory, or AT_FDCWD
 *	u  a size, without a sign			x  an address, or h  a number, in hexadecimal
 *	s  a path					o  a mode, in octal
 *	w  data that go in; their size comes next	r  data that came out; the result is their size
 *	v  the strings of a new program			S  a signal
 *	O  O_...	c  the mode of a file that O_CREAT or O_TMPFILE makes
 *	P  PROT_...	M  MAP_...	A  AT_...	C  CLONE_... and a signal
 */
[SYS_accept] = "dxx", [SYS_accept4] = "dxxd", [SYS_access] = "so", [SYS_alarm] = "u", [SYS_arch_prctl] = "xx",
[SYS_bind] = "dxu", [SYS_brk] = "x", [SYS_chdir] = "s", [SYS_chmod] = "so", [SYS_chown] = "sdd", [SYS_chroot] = "s",
[SYS_clock_gettime] = "dx", [SYS_clock_nanosleep] = "ddxx", [SYS_clone] = "Cxxxx", [SYS_clone3] = "xu",
[SYS_close] = "d", [SYS_close_range] = "uud", [SYS_connect] = "dxu", [SYS_creat] = "so", [SYS_dup] = "d",
[SYS_dup2] = "dd", [SYS_dup3] = "ddO", [SYS_epoll_create1] = "O", [SYS_epoll_ctl] = "dddx",
[SYS_epoll_pwait] = "dxddxu", [SYS_epoll_wait] = "dxdd", [SYS_eventfd2] = "uO", [SYS_execve] = "svx",
[SYS_execveat] = "DsvxA", [SYS_exit] = "d", [SYS_exit_group] = "d", [SYS_faccessat] = "Dso",
[SYS_faccessat2] = "DsoA", [SYS_fadvise64] = "dddd", [SYS_fchdir] = "d", [SYS_fchmod] = "do", [SYS_fchmodat] = "Dso",
[SYS_fchown] = "ddd", [SYS_fchownat] = "DsddA", [SYS_fcntl] = "ddx", [SYS_fdatasync] = "d", [SYS_flock] = "dd",
[SYS_fork] = "", [SYS_fstat] = "dx", [SYS_fstatfs] = "dx", [SYS_fsync] = "d", [SYS_ftruncate] = "dd",
[SYS_futex] = "xduxxx", [SYS_getcwd] = "ru", [SYS_getdents64] = "dxu", [SYS_getegid] = "", [SYS_geteuid] = "",
[SYS_getgid] = "", [SYS_getgroups] = "dx", [SYS_getpgid] = "d", [SYS_getpgrp] = "", [SYS_getpid] = "",
[SYS_getppid] = "", [SYS_getrandom] = "xud", [SYS_getrusage] = "dx", [SYS_getsid] = "d", [SYS_getsockname] = "dxx",
[SYS_getsockopt] = "dddxx", [SYS_gettid] = "", [SYS_getuid] = "", [SYS_getxattr] = "ssxu", [SYS_ioctl] = "dxx",
[SYS_kill] = "dS", [SYS_lchown] = "sdd", [SYS_lgetxattr] = "ssxu", [SYS_link] = "ss", [SYS_linkat] = "DsDsA",
[SYS_listen] = "dd", [SYS_lseek] = "ddd", [SYS_lstat] = "sx", [SYS_madvise] = "xud", [SYS_memfd_create] = "sd",
[SYS_mkdir] = "so", [SYS_mkdirat] = "Dso", [SYS_mknod] = "sox", [SYS_mknodat] = "Dsox", [SYS_mmap] = "xuPMdh",
[SYS_mount] = "sssxx", [SYS_mprotect] = "xuP", [SYS_mremap] = "xuudx", [SYS_munmap] = "xu", [SYS_nanosleep] = "xx",
[SYS_newfstatat] = "DsxA", [SYS_open] = "sOc", [SYS_openat] = "DsOc", [SYS_pause] = "", [SYS_pidfd_open] = "dd",
[SYS_pipe] = "x", [SYS_pipe2] = "xO", [SYS_poll] = "xud", [SYS_ppoll] = "xuxxu", [SYS_prctl] = "dxxxx",
[SYS_pread64] = "drud", [SYS_prlimit64] = "ddxx", [SYS_pselect6] = "dxxxxx", [SYS_pwrite64] = "dwud",
[SYS_read] = "dru", [SYS_readlink] = "sru", [SYS_readlinkat] = "Dsru", [SYS_readv] = "dxd", [SYS_recvfrom] = "drudxx",
[SYS_recvmsg] = "dxd", [SYS_rename] = "ss", [SYS_renameat] = "DsDs", [SYS_renameat2] = "DsDsd", [SYS_rmdir] = "s",
[SYS_rseq] = "xudx", [SYS_rt_sigaction] = "Sxxu", [SYS_rt_sigprocmask] = "dxxu", [SYS_rt_sigreturn] = "",
[SYS_rt_sigsuspend] = "xu", [SYS_rt_sigtimedwait] = "xxxu", [SYS_sched_getaffinity] = "dux",
[SYS_sched_setaffinity] = "dux", [SYS_sched_yield] = "", [SYS_select] = "dxxxx", [SYS_sendfile] = "ddxu",
[SYS_sendmsg] = "dxd", [SYS_sendto] = "dwudxu", [SYS_set_robust_list] = "xu", [SYS_set_tid_address] = "x",
[SYS_setgid] = "d", [SYS_setpgid] = "dd", [SYS_setsid] = "", [SYS_setsockopt] = "dddxu", [SYS_setuid] = "d",
[SYS_shutdown] = "dd", [SYS_sigaltstack] = "xx", [SYS_socket] = "ddd", [SYS_socketpair] = "dddx", [SYS_stat] = "sx",
[SYS_statfs] = "sx", [SYS_statx] = "DsAxx", [SYS_symlink] = "ss", [SYS_symlinkat] = "sDs", [SYS_sysinfo] = "x",
[SYS_tgkill] = "ddS", [SYS_tkill] = "dS", [SYS_truncate] = "sd", [SYS_umask] = "o", [SYS_uname] = "x",
[SYS_unlink] = "s", [SYS_unlinkat] = "Dsx", [SYS_unshare] = "C", [SYS_utimensat] = "DsxA", [SYS_vfork] = "",
[SYS_wait4] = "dxdx", [SYS_waitid] = "ddxdx", [SYS_write] = "dwu", [SYS_writev] = "dxd",
