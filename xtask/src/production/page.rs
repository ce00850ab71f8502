//! What a page tells its reader to do.
//!
//! A block whose first line is "```sh on=portal-1,portal-2" is run on these machines, one after the
//! other; a comment `<!-- test: WORD -->` stands for what happens outside of it. Other blocks are
//! only read.

use anyhow::{Result, bail};

use super::machine::MACHINES;

/// One thing to do, with the line of the page that says so.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Run { on: Vec<String>, script: String, line: usize },
    Act { what: String, line: usize },
}

impl Step {
    pub(super) fn line(&self) -> usize {
        match self {
            Self::Run { line, .. } | Self::Act { line, .. } => *line,
        }
    }
}

/// All steps of a page, in its order.
pub(super) fn steps(page: &str) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut lines = page.lines().enumerate().map(|(number, line)| (number + 1, line));
    while let Some((line, text)) = lines.next() {
        if let Some(what) = between(text, "<!-- test: ", " -->") {
            steps.push(Step::Act { what: what.to_owned(), line });
            continue;
        }
        let Some(language) = text.strip_prefix("```") else { continue };
        let body: Vec<&str> =
            lines.by_ref().map(|(_, text)| text).take_while(|text| *text != "```").collect();
        let Some(on) = language.strip_prefix("sh on=") else { continue };
        let script = body.join("\n") + "\n";
        steps.push(Step::Run { on: machines(on, line)?, script, line });
    }
    Ok(steps)
}

fn machines(on: &str, line: usize) -> Result<Vec<String>> {
    let known = |name: &str| MACHINES.iter().any(|machine| machine.name == name);
    if on == "all" {
        return Ok(MACHINES.iter().map(|machine| machine.name.to_owned()).collect());
    }
    on.split(',')
        .map(|name| {
            if known(name) {
                Ok(name.to_owned())
            } else {
                bail!("line {line}: no machine is called {name}")
            }
        })
        .collect()
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    text.strip_prefix(start)?.strip_suffix(end)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Step, steps};
    use crate::{production::acts::ACTS, run::root};

    #[test]
    fn blocks_for_machines_and_acts_are_found_and_nothing_else() {
        let page =
            "# A\n\n```sh\nonly read\n```\n```sh on=lb,db\na\nb\n```\n<!-- test: setup -->\n";
        let on = vec!["lb".to_owned(), "db".to_owned()];
        let wanted = [
            Step::Run { on, script: "a\nb\n".to_owned(), line: 6 },
            Step::Act { what: "setup".to_owned(), line: 10 },
        ];
        assert_eq!(steps(page).unwrap(), wanted);
        assert!(steps("```sh on=moon\n```\n").unwrap_err().to_string().contains("moon"));
    }

    #[test]
    fn the_page_can_be_followed() {
        let page = fs::read_to_string(root().join(super::super::PAGE)).unwrap();
        let steps = steps(&page).unwrap();
        let acts: Vec<&str> = steps
            .iter()
            .filter_map(|step| match step {
                Step::Act { what, .. } => Some(what.as_str()),
                Step::Run { .. } => None,
            })
            .collect();
        assert_eq!(acts, ACTS, "each is done once, in this order");
        assert!(steps.len() > 20, "{}", steps.len());
    }
}
