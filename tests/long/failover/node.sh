#!/bin/sh
# First process of a node, in namespaces of its own: node.sh NAME DIR
# It gives the node what a host has alone: name, boot id, state of the cluster, agents, mounts.
name=$1 dir=$2 own=$2/$1
mount --make-rprivate /
hostname "$name"
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mkdir -p /run/lock /run/resource-agents /run/crm /var/lib/corosync /etc/corosync /var/log/pacemaker
for pair in corosync:/var/lib/corosync pacemaker:/var/lib/pacemaker etc:/etc/corosync log:/var/log; do
    mount --bind "$own/${pair%%:*}" "${pair#*:}"
done
mkdir -p /var/log/pacemaker /var/lib/pacemaker/cib /var/lib/pacemaker/pengine \
    /var/lib/pacemaker/cores /var/lib/pacemaker/blackbox
chown -R hacluster:haclient /var/log/pacemaker /var/lib/pacemaker
for pair in ocf/resource.d:/usr/lib/ocf/resource.d sbin:/usr/sbin; do
    mount -t overlay overlay -o "lowerdir=$dir/${pair%%:*}:${pair#*:}" "${pair#*:}"
done
cat /proc/sys/kernel/random/uuid >"$own/boot_id"
mount --bind "$own/boot_id" /proc/sys/kernel/random/boot_id
export PCMK_logfile=/var/log/pacemaker/pacemaker.log PCMK_logfacility=none
corosync -f &
until corosync-cfgtool -s >/dev/null 2>&1; do sleep 0.1; done
pacemakerd &
while :; do sleep 1 & wait $!; done # reaps orphans
