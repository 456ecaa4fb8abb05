# What zsh tells the terminal of its commands, for a session of Outlast: OSC 133 (prompt, start and
# end of a command, with its exit code), OSC 633;E (its text) and OSC 7 (the folder).

# Sets REPLY: control characters, backslash and semicolon as \xHH.
__outlast_escape() {
    emulate -L zsh
    unsetopt multibyte
    local rest=${1[1,4096]} char
    REPLY=''
    if [[ $rest != *[[:cntrl:]\;\\]* ]]; then
        REPLY=$rest
        return
    fi
    for char in ${(s::)rest}; do
        if [[ $char == [[:cntrl:]\;\\] ]]; then
            printf -v char '\\x%02x' "'$char"
        fi
        REPLY+=$char
    done
}

__outlast_tell_folder() {
    emulate -L zsh
    unsetopt multibyte
    local url='' char
    for char in ${(s::)PWD}; do
        if [[ $char != [a-zA-Z0-9/._~-] ]]; then
            printf -v char '%%%02X' $((#char))
        fi
        url+=$char
    done
    printf '\e]7;file://%s%s\a' "$HOST" "$url"
}

__outlast_before_command() {
    local REPLY text=$1
    [[ -o hist_ignore_space && $text == ' '* ]] && text=''
    __outlast_escape "$text"
    printf '\e]633;E;%s\a\e]133;C\a' "$REPLY"
}

__outlast_before_prompt() {
    local code=$?
    if [[ -n ${__outlast_has_prompted-} ]]; then
        printf '\e]133;D;%s\a' $code
    else
        typeset -g __outlast_has_prompted=1
        # The first of the hooks has the exit code of the command, the last the theme's prompt.
        precmd_functions=(__outlast_before_prompt ${precmd_functions:#__outlast_*} __outlast_prompt)
        preexec_functions+=(__outlast_before_command)
        __outlast_prompt
    fi
    __outlast_tell_folder
    printf '\e]133;A\a'
    return $code
}

__outlast_prompt() {
    local mark=$'%{\e]133;B\a%}'
    [[ $PS1 == *"$mark"* ]] || PS1+=$mark
}

typeset -ga precmd_functions preexec_functions
precmd_functions+=(__outlast_before_prompt)
