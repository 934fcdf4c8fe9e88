# bash completion for drbdts
# Written by `drbdts completion bash`; install as /usr/share/bash-completion/completions/drbdts.

_drbdts() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
  local command='' words='' resources='' files='' index skip=''
  case $prev in
    --socket | --config | --output | --key-output | --against) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
    --node | --start | --size | --al-stripes | --al-stripe-size-kB | --wfc-timeout | -t | --witness | --address) COMPREPLY=(); return ;;
  esac
  for ((index = 1; index < COMP_CWORD; index++)); do
    if [[ -n $skip ]]; then skip=''; continue; fi
    case ${COMP_WORDS[index]} in
      --socket | --config | --node) skip=1 ;;
      -*) ;;
      *) command=${COMP_WORDS[index]}; break ;;
    esac
  done
  case $command in
    '' | help) words="adjust apply-al attach check-peer cluster completion config confirm-fenced connect create-md cstate detach disconnect down dstate dump-md events explain get-gi help import invalidate invalidate-remote lb new-current-uuid outdate pause-sync primary resize resume-io resume-sync role secondary sh-dev sh-ip sh-ll-dev sh-md-dev sh-minor sh-resources sh-status show-gi status suspend-io up verify vrrp wait-connect wait-sync wipe-md witness" ;;
    up) words="" resources=1 ;;
    down) words="" resources=1 ;;
    attach) words="" resources=1 ;;
    detach) words="--force" resources=1 ;;
    adjust) words="" resources=1 ;;
    connect) words="--discard-my-data --tentative" resources=1 ;;
    disconnect) words="--force" resources=1 ;;
    check-peer) words="--timeout" resources=1 ;;
    primary) words="--force" resources=1 ;;
    secondary) words="--force" resources=1 ;;
    status) words="-w --watch --proc" resources=1 ;;
    role) words="" resources=1 ;;
    cstate) words="" resources=1 ;;
    dstate) words="" resources=1 ;;
    get-gi) words="" resources=1 ;;
    show-gi) words="" resources=1 ;;
    events) words="--now --timestamps" resources=1 ;;
    wait-connect) words="-t --wfc-timeout" resources=1 ;;
    wait-sync) words="-t --wfc-timeout" resources=1 ;;
    witness) words="status" ;;
    confirm-fenced) words="--reason" ;;
    invalidate) words="" resources=1 ;;
    invalidate-remote) words="" resources=1 ;;
    outdate) words="" resources=1 ;;
    pause-sync) words="" resources=1 ;;
    resume-sync) words="" resources=1 ;;
    new-current-uuid) words="--clear-bitmap" resources=1 ;;
    verify) words="--start" resources=1 ;;
    create-md) words="--force --al-stripes --al-stripe-size-kB" resources=1 ;;
    wipe-md) words="--force" resources=1 ;;
    dump-md) words="--force" resources=1 ;;
    apply-al) words="" resources=1 ;;
    resize) words="--size --assume-clean" resources=1 ;;
    suspend-io) words="" resources=1 ;;
    resume-io) words="" resources=1 ;;
    cluster) words="status move standby online takeover maintenance cleanup history check" files=1 ;;
    vrrp) words="status explain" ;;
    lb) words="status" ;;
    config) words="check show schema" files=1 ;;
    import) words="--output --key-output --force --witness --address --reorder" files=1 ;;
    sh-resources) words="" ;;
    sh-dev) words="" resources=1 ;;
    sh-minor) words="" resources=1 ;;
    sh-ll-dev) words="" resources=1 ;;
    sh-md-dev) words="" resources=1 ;;
    sh-ip) words="" resources=1 ;;
    sh-status) words="" resources=1 ;;
    explain) words="" ;;
    completion) words="bash" ;;
  esac
  if [[ $cur == -* ]]; then
    words="$words -V --version --socket --cluster-socket --config --node --json -v --verbose --help"
  elif [[ -n $resources ]]; then
    words="$words all $(drbdts sh-resources 2>/dev/null)"
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur"; [[ -n $files && $cur != -* ]] && compgen -f -- "$cur")
}

complete -F _drbdts drbdts
