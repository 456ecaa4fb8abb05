# What bash tells the terminal of its commands, for a session of Outlast: OSC 133 (prompt, start and
# end of a command, with its exit code), OSC 633;E (its text) and OSC 7 (the folder).
#
# Started by `bash --init-file THIS -i`: your own startup files are read first, just as bash would
# have read them. Nothing of yours is changed but the variables named below, in this shell only.

if [ -n "${OUTLAST_SHELL_LOGIN-}" ]; then
    unset OUTLAST_SHELL_LOGIN
    [ -r /etc/profile ] && . /etc/profile
    if [ -r ~/.bash_profile ]; then
        . ~/.bash_profile
    elif [ -r ~/.bash_login ]; then
        . ~/.bash_login
    elif [ -r ~/.profile ]; then
        . ~/.profile
    fi
else
    [ -r ~/.bashrc ] && . ~/.bashrc
fi

# PS0, by which a command's start is told, came with bash 4.4. The file may be read only once.
if [[ $- == *i* && -z ${__outlast_is_here-} ]] &&
    ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 404)); then
    __outlast_is_here=1
    __outlast_number=-1
    __outlast_hides=''

    # bash would not keep a command that begins with a space, and so could not tell which command
    # runs. It is kept for as long as it runs, told without its text, and then taken out again.
    __outlast_adjust_history() {
        case ":${HISTCONTROL-}:" in
            *:ignoreboth:* | *:ignorespace:*)
                __outlast_hides=1
                local rest=":$HISTCONTROL:"
                rest=${rest//:ignoreboth:/:ignoredups:}
                rest=${rest//:ignorespace:/:}
                rest=${rest#:}
                HISTCONTROL=${rest%:}
                ;;
        esac
    }

    # Sets `text` and `number` to the last command of the history.
    __outlast_last_command() {
        local line
        line=$(HISTTIMEFORMAT='' builtin history 1)
        line=${line#"${line%%[![:space:]]*}"}
        number=${line%%[!0-9]*}
        line=${line#"$number"}
        line=${line#\*} # changed since
        text=${line#  } # two spaces stand between number and command
        number=${number:-0}
    }

    # Sets `escaped`: control characters, backslash and semicolon as \xHH.
    __outlast_escape() {
        local LC_ALL=C char i
        escaped=''
        local rest=${1:0:4096}
        if [[ $rest != *[[:cntrl:]\;\\]* ]]; then
            escaped=$rest
            return
        fi
        for ((i = 0; i < ${#rest}; i++)); do
            char=${rest:i:1}
            case $char in
                [[:cntrl:]] | \; | \\) printf -v char '\\x%02x' "'$char" ;;
            esac
            escaped+=$char
        done
    }

    __outlast_folder() {
        local LC_ALL=C char i url=''
        for ((i = 0; i < ${#PWD}; i++)); do
            char=${PWD:i:1}
            case $char in
                [a-zA-Z0-9/._~-]) ;;
                *)
                    printf -v char '%%%02X' "'$char"
                    char=%${char: -2} # beyond ASCII bash gives a negative number
                    ;;
            esac
            url+=$char
        done
        printf '\e]7;file://%s%s\a' "${HOSTNAME-}" "$url"
    }

    # Runs in a subshell, before each command: what it prints is told to the terminal.
    __outlast_before_command() {
        local text number escaped
        __outlast_last_command
        [[ -n $__outlast_hides && $text == ' '* ]] && text=''
        __outlast_escape "$text"
        printf '\e]633;E;%s\a\e]133;C\a' "$escaped"
    }

    # The first of PROMPT_COMMAND: it has the exit code of the command.
    __outlast_before_prompt() {
        local code=$? text number
        __outlast_last_command
        if [[ -n $__outlast_hides && $text == ' '* && $number != 0 ]]; then
            builtin history -d "$number"
        fi
        if ((__outlast_number >= 0)); then
            printf '\e]133;D;%s\a' "$code"
        fi
        __outlast_number=$number
        __outlast_adjust_history
        __outlast_folder
        printf '\e]133;A\a'
        return "$code"
    }

    # The last of PROMPT_COMMAND: themes that set PS1 anew have done so.
    __outlast_prompt() {
        local code=$?
        [[ ${PS0-} == *__outlast_before_command* ]] || PS0="${PS0-}"'$(__outlast_before_command)'
        # A prompt that its owner made readonly stays as it is.
        [[ ${PS1-} == *'\e]133;B\a'* || ${PS1+${PS1@a}} == *r* ]] ||
            PS1="${PS1-}"'\[\e]133;B\a\]'
        return "$code"
    }

    if [[ $(declare -p PROMPT_COMMAND 2>/dev/null) == 'declare -a'* ]]; then
        PROMPT_COMMAND=(__outlast_before_prompt "${PROMPT_COMMAND[@]}" __outlast_prompt)
    else
        PROMPT_COMMAND="__outlast_before_prompt${PROMPT_COMMAND:+
$PROMPT_COMMAND}
__outlast_prompt"
    fi
fi
