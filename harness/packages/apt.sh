# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Debian's packages, from the mirror that this machine uses but with lists of our own: any
# suite and architecture, and the machine's own apt stays as it is. Source it after lib.sh.

# The repositories of Debian that this machine uses, one "<kind> <URI>" a line; the
# kind is archive or security. Without package lists on the machine, indextargets is
# silent and the addresses that an update would read have to tell.
repositories()
{
	{
		# shellcheck disable=SC2016
		apt-get indextargets --format '$(ORIGIN) $(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
			awk '$1 == "Debian" { print $2, $3 }'
		apt-get update --print-uris 2>/dev/null |
			sed -nE "s,^'([^']*/debian[^/]*/)dists/([^']*)/InRelease'.*,\2 \1,p"
	} | awk '{ kind = $1 ~ /security|\/updates$/ ? "security" : "archive" }
		 $1 !~ /backports|proposed/ && $2 !~ /^(cdrom|copy):/ && !seen[kind, $2]++ { print kind, $2 }'
}

# repository_of SUITE: the URI that should serve it. A mirror of Debian commonly has
# the security archive beside the main one.
repository_of()
{
	local all archive
	all=$(repositories)
	archive=$(awk '$1 == "archive" { print $2; exit }' <<<"$all")
	case $1 in
	*-security)
		awk -v beside="${archive%/debian/}" '
			$1 == "security" { print $2; found = 1; exit }
			END { if (!found && beside != "") print beside "/debian-security/" }' <<<"$all"
		;;
	*) printf '%s\n' "$archive" ;;
	esac
}

# private_apt SUITE ARCHITECTURE COMMAND...: apt-get or apt-cache as COMMAND, on that suite's lists.
# Some suites are old: their Release files may have run out.
private_apt()
{
	local dir=$BUILD/apt/$1-$2 command=$3
	"$command" -q=2 -o Dir::Etc::SourceList="$dir/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o Dir::State::Lists="$dir/lists" -o Dir::State::status=/dev/null -o Dir::Cache="$dir/cache" \
		-o APT::Architecture="$2" -o APT::Architectures="$2" -o APT::Architectures::="$2" \
		-o Acquire::Check-Valid-Until=false -o Acquire::Languages=none -o Acquire::Retries=5 \
		-o APT::Sandbox::User=root "${@:4}"
}

# apt_lists SUITE ARCHITECTURE REMEDY [sources]: reads the suite's lists, on demand those of source packages, too.
# REMEDY is what to tell who has no such mirror.
apt_lists()
{
	local suite=$1 architecture=$2 dir=$BUILD/apt/$1-$2 uri key=/usr/share/keyrings/debian-archive-keyring.gpg
	command -v apt-get >/dev/null || die "this machine has no apt-get to fetch Debian's packages with. $3"
	uri=$(repository_of "$suite")
	[ -n "$uri" ] || die "apt's configuration on this machine names no mirror of Debian ($suite). $3"
	mkdir -p "$dir"/{lists,cache/archives}/partial
	printf 'deb%s [arch=%s signed-by=%s] %s %s main\n' '' "$architecture" "$key" "$uri" "$suite" \
		${4:+-src "$architecture" "$key" "$uri" "$suite"} >"$dir/sources.list"
	# The address is shown without a password, should apt's configuration have one there.
	private_apt "$suite" "$architecture" apt-get update -o APT::Update::Error-Mode=any >&2 ||
		die "the package lists of $suite ($architecture) cannot be read from ${uri/\/\/*@/\/\/};" \
		    "apt's message stands above. No network, or the mirror does not carry this suite. $3"
}

# apt_download SUITE ARCHITECTURE DIR REMEDY PACKAGE[=VERSION]...: into DIR, by the lists that apt_lists read.
apt_download()
{
	local suite=$1 architecture=$2 dir=$3 remedy=$4
	shift 4
	mkdir -p "$dir"
	(cd "$dir" && private_apt "$suite" "$architecture" apt-get download "$@" >&2) ||
		die "$* cannot be downloaded from the mirror of $suite; apt's message stands above. $remedy"
}

# apt_download_source SUITE ARCHITECTURE DIR REMEDY PACKAGE=VERSION: the source package, into DIR, as it comes.
apt_download_source()
{
	mkdir -p "$3"
	(cd "$3" && private_apt "$1" "$2" apt-get source --download-only "$5" >&2) ||
		die "the source of $5 cannot be downloaded from the mirror of $1; apt's message stands above. $4"
}
