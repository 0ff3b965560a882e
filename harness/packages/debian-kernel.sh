# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Kernels that Debian built, as packages from the mirror that this machine uses.
# Source it after lib.sh and apt.sh.

# debian_kernel DIR SUITE METAPACKAGE VERSION [MODULE...]: the newest kernel of that suite to DIR/vmlinuz,
# its name to DIR/package, and of its modules those named, as MODULE.ko. VERSION is what its version begins
# with. One that is there does when the mirror cannot be reached.
debian_kernel()
{
	local dir=$1 suite=$2 meta=$3 version=$4 found package packages
	local remedy="The kernel '${dir##*/}' comes from $suite; a key that is missing, from a newer debian-archive-keyring."
	if ! (apt_lists "$suite" amd64 "$remedy"); then
		[ -f "$dir/package" ] || exit 1
		say "* Whether there is a newer one than $(<"$dir/package") is not known; taking that."
		return
	fi
	# The metapackage depends on the image of the suite's own kernel. Newer ones are in three parts.
	found=$(private_apt "$suite" amd64 apt-cache show "$meta")
	package=$(sed -nE 's/^Depends:.*(linux-image-[0-9][^ ,]*).*/\1/p' <<<"$found" | head -n 1)
	found=$(sed -n 's/^Version: //p' <<<"$found" | head -n 1)
	if [ -z "$package" ] || [[ $found != "$version"* ]]; then
		die "$meta of $suite is ${found:-not there}, wanted is a ${version:-kernel}"
	fi
	package+=_$found
	if [ -f "$dir/package" ] && [ "$(<"$dir/package")" = "$package" ]; then
		return
	fi
	packages=$(private_apt "$suite" amd64 apt-cache show "${package%_*}" | sed -n 's/^Depends: //p' |
		tr ', ' '\n' | grep -E '^linux-(binary|modules)-' || true)
	need_space "$BUILD" 400 "a kernel of Debian's"
	# shellcheck disable=SC2086
	step "Downloading Debian's kernel $package (about 100 MB at most)" \
		apt_download "$suite" amd64 "$dir.download/$package" "$remedy" "${package%_*}" $packages
	step "Unpacking it" unpack_kernel "$dir" "$package" "${@:5}"
}

# unpack_kernel DIR PACKAGE [MODULE...]: what was downloaded for it, into DIR.
unpack_kernel()
{
	local dir=$1 package=$2 tmp=$1.tmp deb files module pattern='vmlinuz[^/]*'
	shift 2
	for module; do
		pattern+="|$module\.ko[^/]*"
	done
	rm -rf "$tmp"
	mkdir -p "$tmp"
	for deb in "$dir.download/$package"/*.deb; do
		# The path depends on the version, /usr/lib/modules/VERSION/vmlinuz being the new one.
		files=$(dpkg-deb --fsys-tarfile "$deb" | tar t | grep -E "/($pattern)\$" || true)
		[ -z "$files" ] || dpkg-deb --fsys-tarfile "$deb" |
			tar x -C "$tmp" --transform 's,.*/,,;s,^vmlinuz.*,vmlinuz,' -T <(printf '%s\n' "$files")
	done
	[ -f "$tmp/vmlinuz" ] || die "$package has no vmlinuz"
	for module; do
		[ ! -f "$tmp/$module.ko.xz" ] || xz -d "$tmp/$module.ko.xz"
		[ -f "$tmp/$module.ko" ] || die "$package has no $module.ko or $module.ko.xz"
	done
	printf '%s\n' "$package" >"$tmp/package"
	rm -rf "$dir" "$dir.download"
	mv "$tmp" "$dir"
}
