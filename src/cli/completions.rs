//! `roadstead completions`: what a shell needs to complete commands, options, and the names of images.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Command};
use clap_complete::{Shell, generate};

use super::output;

/// Prints the completion script of a shell
#[derive(Debug, Args)]
#[command(
    after_help = "With bash, zsh and fish also registries that you have signed in to, and the names of their repositories and tags, are \
        completed. The registry is asked for them then, for two seconds at most, and no credential helper is run.\n\n\
    Examples:\n  \
    source <(roadstead completions bash)\n  \
    roadstead completions bash > /usr/share/bash-completion/completions/roadstead\n  \
    roadstead completions zsh > /usr/share/zsh/site-functions/_roadstead\n  \
    roadstead completions fish > ~/.config/fish/completions/roadstead.fish"
)]
pub(super) struct CompletionsArguments {
    /// The shell
    shell: Shell,
}

/// Completes names in bash, where a colon may end a word: what stands before the last one stays in the line.
const BASH: &str = r#"
_roadstead_names() {
    local typed=${COMP_LINE:0:COMP_POINT}
    typed=${typed##*[[:space:]]}
    case ${COMP_WORDS[1]} in
        push | pull | copy | info | tags | delete | undelete)
            case $typed in
                '' | -* | .* | /* | oci:* | docker-archive:* | docker-daemon:*) ;;
                *)
                    local names IFS=$'\n'
                    names=($("${COMP_WORDS[0]}" complete-names -- "$typed" 2>/dev/null))
                    if [[ ${#names[@]} -gt 0 ]]; then
                        if [[ $COMP_WORDBREAKS == *:* && $typed == *:* ]]; then
                            names=("${names[@]#"${typed%"${typed##*:}"}"}")
                        fi
                        COMPREPLY=("${names[@]}")
                        compopt -o nospace 2>/dev/null
                        return 0
                    fi
                    ;;
            esac
            ;;
    esac
    _roadstead "$@"
}
complete -F _roadstead_names -o bashdefault -o default roadstead
"#;

/// The same in zsh.
const ZSH: &str = r#"
_roadstead_names() {
    if ((CURRENT > 2)) && [[ ${words[2]} == (push|pull|copy|info|tags|delete|undelete) ]] &&
        [[ -n $PREFIX && $PREFIX != (-*|.*|/*|oci:*|docker-archive:*|docker-daemon:*) ]]; then
        local -a names
        names=(${(f)"$(${words[1]} complete-names -- $PREFIX 2>/dev/null)"})
        if (($#names)); then
            compadd -S '' -a names
            return
        fi
    fi
    _roadstead "$@"
}
compdef _roadstead_names roadstead
"#;

/// The same in fish.
const FISH: &str = r"
complete -c roadstead -n '__fish_seen_subcommand_from push pull copy info tags delete undelete' \
    -a '(roadstead complete-names -- (commandline -ct) 2>/dev/null)'
";

/// Prints the script for the whole command line.
pub(super) fn run(
    arguments: &CompletionsArguments,
    mut command: Command,
) -> anyhow::Result<ExitCode> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    generate(arguments.shell, &mut command, name, &mut script);
    let mut script = String::from_utf8(script).context("the script is not UTF-8")?;
    script.push_str(match arguments.shell {
        Shell::Bash => BASH,
        Shell::Zsh => ZSH,
        Shell::Fish => FISH,
        _ => "",
    });
    output::print(&script).context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}
