"""Completion scripts: the parts that query the runtime. shtab generates the rest."""

from __future__ import annotations

BASH = r"""
# $1: kind. A candidate a line; when there are several to show, each with what it is.
_taskdeck_names() {
  local values=() texts=() value text at type=${COMP_TYPE:-9}
  while IFS=$'\t' read -r value text; do
    values+=("$value") texts+=("$text")
  done < <(
    "${_taskdeck_program:-taskdeck}" __complete bash "$1" "${COMP_WORDS[@]:0:COMP_CWORD+1}" \
      2>/dev/null
  )
  for at in "${!values[@]}"; do
    if [[ ${#values[@]} -gt 1 && -n ${texts[at]} && $type != 37 && $type != 42 ]]; then
      printf '%s  (%s)\n' "${values[at]}" "${texts[at]}"
    else
      printf '%s\n' "${values[at]}"
    fi
  done
}
"""

BASH_END = r"""
# The words as they were typed: bash splits them at = and : as well.
_taskdeck() {
  local words=() word at begun="" split="" whole="" keep="" found
  local _taskdeck_program="${COMP_WORDS[0]/#\~/$HOME}"
  for ((at = 0; at <= COMP_CWORD; at++)); do
    word="${COMP_WORDS[at]}"
    if [[ -n $begun || $word == -- && $at -lt $COMP_CWORD && " ${words[*]} " == *" submit "* ]]
    then
      begun="${begun:-$((at + 1))}"
    elif ((at > 1)) && [[ $word == [:=]* || ${words[-1]} == *[:=] ]]; then
      words[-1]+="$word"
    else
      words+=("$word")
    fi
  done
  if [[ -n $begun ]]; then
    _taskdeck_command "$begun"
    return
  fi
  whole="${words[-1]}"
  for ((at = ${#words[@]} - 1; at > 0; at--)); do
    [[ ${words[at]} == --*=* ]] || continue
    words=("${words[@]:0:at}" "${words[at]%%=*}" "${words[at]#*=}" "${words[@]:at+1}")
  done
  [[ $whole == --*=* ]] && split="${whole%%=*}="
  while [[ ${whole#"$keep"} =~ ^[^:=]*[:=] && $COMP_WORDBREAKS == *"${BASH_REMATCH[0]: -1}"* ]]; do
    keep+="${BASH_REMATCH[0]}"
  done
  local COMP_WORDS=("${words[@]}") COMP_CWORD=$((${#words[@]} - 1))
  word="${words[-1]}"
  _shtab_taskdeck "$@"
  if [[ ${#COMPREPLY[@]} == 0 && ${words[-2]} == -p && $word == *=* ]]; then
    compopt -o filenames 2>/dev/null
    while IFS= read -r found; do
      COMPREPLY+=("${word%%=*}=$found")
    done < <(compgen -f -- "${word#*=}")
  elif [[ ${#COMPREPLY[@]} -gt 0 && ${words[-2]} == -p && ${COMPREPLY[0]%%  (*} == *= ]]; then
    compopt -o nospace 2>/dev/null
  elif [[ ${COMPREPLY[0]} == [0-9]* ]]; then
    compopt -o nosort 2>/dev/null
  fi
  for at in "${!COMPREPLY[@]}"; do
    found="$split${COMPREPLY[at]}"
    COMPREPLY[at]="${found#"$keep"}"
  done
}

# $1: where the command of a submission begins.
_taskdeck_command() {
  if declare -F _command_offset >/dev/null; then
    _command_offset "$1"
  elif (($1 == COMP_CWORD)); then
    compopt -o filenames 2>/dev/null
    while IFS= read -r word; do
      COMPREPLY+=("$word")
    done < <(compgen -cf -- "${COMP_WORDS[COMP_CWORD]}" | sort -u)
  else
    COMPREPLY=()
    compopt -o default 2>/dev/null
  fi
}

complete -o bashdefault -F _taskdeck taskdeck
"""

ZSH = r"""
# $1: kind.
_taskdeck_names() {
  local -a typed entries
  local value text
  typed=("${(@Q)${(z)LBUFFER}}")
  [[ $LBUFFER == *[[:space:]] ]] && typed+=('')
  if [[ $1 == template && ${typed[(Ie)--]} -gt 0 ]]; then
    _taskdeck_command
    return
  fi
  while IFS=$'\t' read -r value text; do
    entries+=("${value//:/\\:}:$text")
  done < <(taskdeck __complete zsh "$1" "${typed[@]}" 2>/dev/null)
  if [[ $1 != parameter ]]; then
    _describe -V "${1%%:*}" entries
  elif (( ! ${#entries} )) && [[ $PREFIX == *=* ]]; then
    compset -P '*='
    _files
  else
    _describe -V parameter entries -S ''
  fi
}

# The command of a submission, after --.
_taskdeck_command() {
  shift ${words[(Ie)--]} words
  CURRENT=${#words}
  _normal
}
"""

ZSH_SOURCED = r"""if [[ $zsh_eval_context[-1] == (eval|file) ]]; then
  (( $+functions[compdef] )) || { autoload -Uz compinit; compinit }
"""

FISH = r"""
# $argv[1]: kind.
function __taskdeck_names
  set -l typed (commandline -opc)
  set -l current (commandline -ct)
  set -l program $typed[1]
  set -l found (command $program __complete fish $argv[1] $typed "$current" 2>/dev/null)
  if test "$argv[1]" = parameter -a (count $found) -eq 0; and string match -q -- '*=*' "$current"
    set -l key (string replace -r '=.*' '=' -- "$current")
    for path in (__fish_complete_path (string replace -r '^[^=]*=' '' -- "$current"))
      printf '%s%s\n' $key $path
    end
    return
  end
  printf '%s\n' $found
end
"""

FISH_END = r"""
# The words after -- are a command of its own.
function __taskdeck_begun
  contains -- -- (commandline -opc)
end

function __taskdeck_command
  set -l typed (commandline -opc)
  set -e typed[1..(contains -i -- -- $typed)]
  set -l rest (string escape -- $typed) (commandline -ct)
  complete -C "$rest"
end

complete -c taskdeck -n __taskdeck_begun -xa "(__taskdeck_command)"
"""

EPILOGUES = {"bash": BASH_END, "zsh": "", "fish": FISH_END}
PREAMBLES = {"bash": BASH, "zsh": ZSH, "fish": FISH}
