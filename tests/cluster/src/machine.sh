# The first process of what plays a machine, in namespaces of its own: what it mounts, nobody else sees, and all that runs on the
# machine ends with it. Called with the cluster's directory, the machine's own below it, and its name.
set -eu
cluster=$1
own=$2
hostname "$3"

# What the machine writes lies over what the real one has, and stays for its next start.
for top in etc opt var; do
    mkdir -p "$own/$top/upper" "$own/$top/work" "/$top"
    mount -t overlay -o "lowerdir=/$top,upperdir=$own/$top/upper,workdir=$own/$top/work" overlay "/$top"
done
# An overlay cannot lie over an overlay, and images are unpacked into those.
for real in /var/lib/containerd /var/lib/kubelet; do
    mkdir -p "$own/real$real" "$real"
    mount --bind "$own/real$real" "$real"
done
mkdir -p /var/log/pods /etc/cni/net.d /opt/cni/bin

# A /run that ends with the machine, in which only the cluster's own directory is that of the real one.
mkdir -p "$own/run"
mount -t tmpfs -o mode=0755 tmpfs "$own/run"
mkdir -p "$own/run/${cluster#/run/}" "$own/run/netns"
mount --bind "$cluster" "$own/run/${cluster#/run/}"
mount -n --move "$own/run" /run

# The devices of this network namespace.
mkdir -p "$own/groups"
mount --rbind /sys/fs/cgroup "$own/groups"
umount -R -l /sys
mount -t sysfs sysfs /sys
mount --rbind "$own/groups" /sys/fs/cgroup
umount -R -l "$own/groups"
mount -t bpf bpf /sys/fs/bpf

# The processes of this PID namespace. kubelet wants settings that are the whole machine's: it finds them as it wants them.
mount -t proc proc /proc
mkdir -p "$own/settings"
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    key=${setting%=*}
    file=$own/settings/$(basename "$key")
    echo "${setting#*=}" >"$file"
    mount --bind "$file" "/proc/sys/$key"
done
# As systemd leaves it: containers hear of mounts that come later, such as those of pods' network namespaces.
mount --make-rshared /

trap 'exit 0' TERM
touch "$own/booted"
while :; do
    sleep 3600 &
    # Whoever loses its parent becomes a child of the first process, and is waited for here.
    wait $! || :
done
