//! As much of systemd's unit files as the services of the page need.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use anyhow::{Context as _, Result, bail};

const FOLDERS: [&str; 3] =
    ["/etc/systemd/system", "/lib/systemd/system", "/usr/lib/systemd/system"];

/// One unit: the values of its settings, in their order.
#[derive(Debug, Default)]
pub(super) struct Unit {
    values: BTreeMap<String, Vec<String>>,
    /// What stands for `%i`.
    instance: String,
}

impl Unit {
    /// Reads `name` (with its `.service`) from where systemd would.
    pub(super) fn read(name: &str) -> Result<Self> {
        let (file, instance) = match name.split_once('@') {
            Some((template, rest)) => {
                let (instance, kind) = rest.rsplit_once('.').context("a unit has a kind")?;
                (format!("{template}@.{kind}"), instance)
            }
            None => (name.to_owned(), ""),
        };
        let found =
            FOLDERS.iter().map(|folder| Path::new(folder).join(&file)).find(|path| path.exists());
        let Some(path) = found else { bail!("Unit {name} not found.") };
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(Self { instance: instance.to_owned(), ..Self::parse(&text) })
    }

    fn parse(text: &str) -> Self {
        let mut unit = Self::default();
        for line in text.replace("\\\n", " ").lines() {
            let line = line.trim();
            if line.starts_with(['#', ';', '[']) {
                continue;
            }
            let Some((key, value)) = line.split_once('=') else { continue };
            let values = unit.values.entry(key.trim().to_owned()).or_default();
            if value.trim().is_empty() {
                // As systemd has it: an empty value forgets what was said before.
                values.clear();
            } else {
                values.push(value.trim().to_owned());
            }
        }
        unit
    }

    pub(super) fn all(&self, key: &str) -> Vec<String> {
        let values = self.values.get(key).map(Vec::as_slice).unwrap_or_default();
        let path = self.instance.replace('-', "/");
        values
            .iter()
            .map(|value| value.replace("%i", &self.instance).replace("%I", &path))
            .collect()
    }

    /// The last value that was given.
    pub(super) fn one(&self, key: &str) -> Option<String> {
        self.all(key).pop()
    }

    pub(super) fn is(&self, key: &str, value: &str) -> bool {
        self.one(key).is_some_and(|found| found == value)
    }

    /// Seconds, or as `2s`, `5min`.
    pub(super) fn time(&self, key: &str, otherwise: Duration) -> Duration {
        let Some(text) = self.one(key) else { return otherwise };
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, kind) = text.split_at(digits);
        let factor = match kind.trim() {
            "" | "s" | "sec" => 1,
            "min" | "m" => 60,
            "h" => 3600,
            _ => return otherwise,
        };
        number.parse().map_or(otherwise, |number: u64| Duration::from_secs(number * factor))
    }

    /// Whether its conditions hold: of those with `|` one is enough, of the others all.
    pub(super) fn may_start(&self) -> bool {
        let (some, all): (Vec<String>, Vec<String>) =
            self.all("ConditionPathExists").into_iter().partition(|path| path.starts_with('|'));
        let exists = |path: &String| Path::new(path.trim_start_matches('|')).exists();
        all.iter().all(exists) && (some.is_empty() || some.iter().any(exists))
    }
}

/// The words of a command line, with variables put in; quotes hold a word together.
pub(super) fn words(line: &str, variables: &BTreeMap<String, String>) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut whole_word_is_variable = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (' ' | '\t', None) => {
                end(&mut words, word.take(), whole_word_is_variable);
                whole_word_is_variable = false;
            }
            ('$', _) if chars.peek() == Some(&'$') => {
                chars.next();
                word.get_or_insert_default().push('$');
            }
            ('$', _) => {
                let is_braced = chars.next_if_eq(&'{').is_some();
                let mut name = String::new();
                while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
                    name.push(c);
                }
                if name.is_empty() {
                    word.get_or_insert_default().push('$');
                    continue;
                }
                if is_braced {
                    chars.next_if_eq(&'}');
                }
                // `$NAME` as a word of its own is split into words, `${NAME}` is not.
                whole_word_is_variable = !is_braced && quote.is_none() && word.is_none();
                let value = variables.get(&name).map_or("", String::as_str);
                word.get_or_insert_default().push_str(value);
            }
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    end(&mut words, word, whole_word_is_variable);
    words
}

fn end(words: &mut Vec<String>, word: Option<String>, is_split: bool) {
    let Some(word) = word else { return };
    if is_split {
        words.extend(word.split_whitespace().map(str::to_owned));
    } else {
        words.push(word);
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::{Unit, words};

    #[test]
    fn settings_are_read_as_systemd_reads_them() {
        let unit =
            Unit::parse("[Service]\n# no\nA=1\nA=2\nB=x y\\\n  z\nC=1\nC=\nT=5min\nU=2\nV=1h\n");
        assert_eq!(unit.all("A"), ["1", "2"]);
        assert_eq!(unit.one("A").as_deref(), Some("2"));
        assert_eq!(unit.one("B").as_deref(), Some("x y   z"));
        assert_eq!(unit.one("C"), None);
        let time = |key| unit.time(key, Duration::ZERO).as_secs();
        assert_eq!((time("T"), time("U"), time("V"), time("W")), (300, 2, 3600, 0));
    }

    #[test]
    fn conditions_are_all_of_some_and_one_of_others() {
        let may = |text: &str| Unit::parse(text).may_start();
        assert!(may(""));
        assert!(!may("ConditionPathExists=/nowhere"));
        assert!(may("ConditionPathExists=|/nowhere\nConditionPathExists=|/"));
        assert!(!may("ConditionPathExists=|/nowhere\nConditionPathExists=|/neither"));
    }

    #[test]
    fn a_command_line_becomes_words() {
        let variables =
            BTreeMap::from([("A".to_owned(), "x y".to_owned()), ("E".to_owned(), String::new())]);
        let made = |line: &str| words(line, &variables);
        assert_eq!(made("/bin/a -b  'c d' \"e\""), ["/bin/a", "-b", "c d", "e"]);
        assert_eq!(made("p $A ${A} $E \"$E\" q"), ["p", "x", "y", "x y", "", "q"]);
        assert_eq!(made("sh -c 'a \"$$B\"'"), ["sh", "-c", "a \"$B\""]);
    }
}
