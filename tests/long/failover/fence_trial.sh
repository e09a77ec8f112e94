#!/bin/sh
# Fence agent as Pacemaker calls it. It asks the power switch of the trial, and waits for its word.
action=reboot port='' switch=''
while IFS='=' read -r key value; do
    case $key in
    action) action=$value ;;
    port | nodename) port=$value ;;
    switch) switch=$value ;;
    esac
done
case $action in
metadata)
    cat <<'END'
<?xml version="1.0"?>
<resource-agent name="fence_trial" shortdesc="power switch of the trial">
<longdesc>power switch of the trial</longdesc>
<parameters>
<parameter name="action" required="1"><content type="string" default="reboot"/></parameter>
<parameter name="port" required="1"><content type="string"/></parameter>
<parameter name="switch" required="1"><content type="string"/></parameter>
</parameters>
<actions>
<action name="on"/><action name="off"/><action name="reboot"/><action name="status"/>
<action name="monitor"/><action name="list"/><action name="metadata"/>
</actions>
</resource-agent>
END
    ;;
monitor) [ -d "$switch" ] ;;
list) printf 'alpha\nbeta\n' ;;
status) [ ! -e "$switch/$port.dead" ] || exit 2 ;;
on) ;;
off | reboot)
    rm -f "$switch/$port.dead"
    : >"$switch/$port.off"
    tries=0
    until [ -e "$switch/$port.dead" ]; do
        [ $((tries += 1)) -lt 150 ] || exit 1
        sleep 0.1
    done
    ;;
esac
