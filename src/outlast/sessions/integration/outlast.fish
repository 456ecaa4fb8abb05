# What fish tells the terminal of its commands, for a session of Outlast: OSC 133 (prompt, start and
# end of a command, with its exit code), OSC 633;E (its text) and OSC 7 (the folder).
#
# Started by `fish --init-command "source THIS"`, after your own configuration. fish 4 tells most of
# it by itself.

status is-interactive; or exit

function __outlast_escape
    string replace -a '\\' '\\x5c' -- $argv[1] | string replace -a ';' '\\x3b' |
        string replace -ra '[\x00-\x1f\x7f]' ' ' | string sub -l 4096 | string join '\\x0a'
end

function __outlast_before_command --on-event fish_preexec
    set -l text $argv[1]
    string match -q ' *' -- $text; and set text ''
    printf '\e]633;E;%s\a' (__outlast_escape $text | string collect)
    if set -q __outlast_tells
        printf '\e]133;C\a'
    end
end

if not string match -qr '^([4-9]|[1-9][0-9])\.' -- $version
    set -g __outlast_tells 1

    function __outlast_after_command --on-event fish_postexec
        printf '\e]133;D;%s\a' $status
    end

    function __outlast_before_prompt --on-event fish_prompt
        printf '\e]7;file://%s%s\a\e]133;A\a' $hostname (string escape --style=url -- $PWD)
    end
end
