# zsh reads this since Outlast set ZDOTDIR to this folder. It gives ZDOTDIR back at once, reads your
# own .zshenv as zsh would have, and leaves a hook that begins its work at the first prompt, when
# your other startup files have been read.

typeset -g __outlast_folder=$ZDOTDIR
if [[ -n ${OUTLAST_ZDOTDIR+x} ]]; then
    export ZDOTDIR=$OUTLAST_ZDOTDIR
    unset OUTLAST_ZDOTDIR
else
    unset ZDOTDIR
fi
{
    [[ -r ${ZDOTDIR-$HOME}/.zshenv ]] && builtin source -- "${ZDOTDIR-$HOME}/.zshenv"
} always {
    if [[ -o interactive ]]; then
        builtin source -- "$__outlast_folder/outlast.zsh"
    fi
    unset __outlast_folder
}
