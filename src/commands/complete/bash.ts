/**
 * The script for bash. Our own, for that of @bomb.sh/tab 0.0.22 runs what is in a name from the service as a command (`compgen -W` expands
 * its words), writes a name with ":" twice, needs the package bash-completion, and fails when it is read a second time. This one
 * evaluates nothing: neither what was typed nor what comes back.
 * @param name of the program, which is found by the same name
 */
export function bashScript(name: string): string {
  const complete = `_${name.replaceAll('-', '_')}_complete`
  return `# bash completion for ${name}
${complete}() {
  local line="\${COMP_LINE:0:COMP_POINT}" out candidate _ typed before= divided=
  local -a words
  COMPREPLY=()
  # Words as they are written: bash divides them at ":" and "=" too.
  read -ra words <<< "$line"
  [[ $line == *[[:space:]] ]] && words+=("")
  typed="\${words[\${#words[@]}-1]}"
  out="$("\${words[0]}" complete -- "\${words[@]:1}" 2> /dev/null)" || return 0
  # 0: the file system is asked instead.
  [[ "\${out##*:}" == 0 ]] && { compopt -o default 2> /dev/null; return 0; }
  if [[ $typed == -*=* ]]; then
    [[ $COMP_WORDBREAKS == *=* ]] || before="\${typed%%=*}="
    typed="\${typed#*=}"
  fi
  # What bash has divided off stands there already.
  [[ $COMP_WORDBREAKS == *:* && $typed == *:* ]] && divided="\${typed%"\${typed##*:}"}"
  while IFS=$'\\t' read -r candidate _; do
    [[ -z $candidate || $candidate == :* ]] || COMPREPLY+=("$before\${candidate#"$divided"}")
  done <<< "$out"
  return 0
}
complete -F ${complete} ${name}
`
}
