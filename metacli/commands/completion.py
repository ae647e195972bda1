"""metacli completion bash|zsh: prints what teaches a shell to complete metacli's words at TAB.

eval "$(metacli completion bash)"        in ~/.bashrc; zsh alike, in ~/.zshrc
"""

# The shell asks `metacli completion answer LINE`, LINE as far as the cursor, and gets a word a line.

from collections.abc import Sequence

from metacli.errors import UserError

# Bash begins a new word at each "=" and ":" and wants the rest of the word from there.
_BASH = """\
_metacli() {
    local line="${COMP_LINE:0:COMP_POINT}" word
    local typed="${line##* }"
    local before="${typed%"$2"}"
    COMPREPLY=()
    while IFS= read -r word; do
        COMPREPLY+=("${word#"$before"}")
    done < <("${1/#\\~/$HOME}" completion answer "$line" 2>/dev/null)
}
complete -o nospace -o default -F _metacli metacli
"""

_ZSH = """\
_metacli() {
    local word
    local -a whole more
    for word in "${(@f)$(${~words[1]} completion answer "${(j: :)words[1,CURRENT-1]} $PREFIX" 2>/dev/null)}"; do
        case $word in
            *' ') whole+=("${word% }") ;;
            ?*) more+=("$word") ;;
        esac
    done
    if (( $#whole + $#more )); then
        compadd -Q -a whole
        compadd -Q -S '' -a more
    else
        compset -P '*='
        _files
    fi
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i }
compdef _metacli metacli
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH}


def run(arguments: list[str]) -> int:
    if arguments[:1] == ["answer"]:
        from metacli.commands.words import next_words

        print("".join(f"{word}\n" for word in next_words(" ".join(arguments[1:]))), end="")
        return 0
    print(_script(arguments), end="")
    return 0


def _script(arguments: Sequence[str]) -> str:
    if len(arguments) != 1 or arguments[0] not in SCRIPTS:
        raise UserError(
            f"completion: which shell? {', '.join(SCRIPTS)}",
            'in ~/.bashrc: eval "$(metacli completion bash)"',
        )
    return SCRIPTS[arguments[0]]
