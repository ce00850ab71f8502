//! From what a provider says of a person to what that person may do here. Plain functions.

use std::collections::{BTreeMap, BTreeSet};

use beamdesk_types::{Role, StationId};
use serde_json::{Map, Value};

use super::config::Stations;

/// Of one person; a directory has fewer.
const GROUPS_MAX: usize = 2000;
const NAME_CHARS_MAX: usize = 32; // as of every account
/// For a person of whose name nothing can stand in an account's.
const NAMELESS: &str = "user";

/// The groups in a claim: a list of texts, or one text. What is of another form is no group.
pub(super) fn groups(claims: &Map<String, Value>, path: &str) -> BTreeSet<String> {
    match find(claims, path) {
        Some(Value::Array(list)) => {
            let texts = list.iter().take(GROUPS_MAX).filter_map(Value::as_str);
            texts.map(str::to_owned).collect()
        }
        Some(Value::String(one)) => BTreeSet::from([one.clone()]),
        Some(_) | None => BTreeSet::new(),
    }
}

/// The value of a claim; its name as it stands, or as a way into objects.
pub(super) fn find<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    let (first, rest) = path.split_once('.')?;
    find(claims.get(first)?.as_object()?, rest)
}

/// The most that any of the groups may; `None`: these people are not let in.
pub(crate) fn role(
    groups: &BTreeSet<String>,
    roles: &BTreeMap<String, Role>,
    others: Option<Role>,
) -> Option<Role> {
    let most = groups.iter().filter_map(|group| roles.get(group)).max().copied();
    let default = if roles.is_empty() { others.or(Some(Role::User)) } else { others };
    most.or(default)
}

/// The stations of the groups; `None`: all.
pub(crate) fn stations(
    groups: &BTreeSet<String>,
    stations: &BTreeMap<String, Stations>,
) -> Option<Vec<StationId>> {
    if stations.is_empty() {
        return None;
    }
    let of_groups = groups.iter().filter_map(|group| stations.get(group));
    let ids: BTreeSet<StationId> =
        of_groups.flat_map(|stations| stations.ids().iter().cloned()).collect();
    Some(ids.into_iter().collect())
}

/// A name that an account may have, as near as may be to what the person is called.
pub(crate) fn account_name(called: &str) -> String {
    let local = called.split('@').next().unwrap_or_default().trim().to_lowercase();
    let plain = |c: char| match c {
        'a'..='z' | '0'..='9' | '.' | '_' => c,
        _ => '-',
    };
    let text: String = local.chars().map(plain).collect();
    let from_letter = text.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    let name: String = from_letter.chars().take(NAME_CHARS_MAX).collect();
    let name = name.trim_end_matches(['-', '.', '_']);
    if name.is_empty() { NAMELESS.to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use beamdesk_types::{Role, StationId};
    use serde_json::json;

    use super::{Stations, account_name, groups, role, stations};
    use crate::is_user_name;

    fn set(list: &[&str]) -> BTreeSet<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn groups_are_texts_in_a_list_wherever_it_is() {
        let claims = json!({ "groups": ["a", 7, null, "b", { "c": 1 }], "one": "x",
            "realm": { "roles": ["r"] }, "https://x.org/groups": ["u"], "n": 7 });
        let of = |path| groups(claims.as_object().unwrap(), path);
        assert_eq!(of("groups"), set(&["a", "b"]));
        assert_eq!(of("one"), set(&["x"]));
        assert_eq!(of("realm.roles"), set(&["r"]));
        assert_eq!(of("https://x.org/groups"), set(&["u"]));
        for nothing in ["n", "none", "realm", "realm.roles.x", "", "."] {
            assert_eq!(of(nothing), set(&[]), "{nothing}");
        }
    }

    #[test]
    fn the_most_counts_and_others_are_let_in_only_if_so_said() {
        let roles = BTreeMap::from([
            ("staff".to_owned(), Role::Operator),
            ("admins".to_owned(), Role::Administrator),
        ]);
        assert_eq!(role(&set(&["staff", "x"]), &roles, None), Some(Role::Operator));
        assert_eq!(role(&set(&["staff", "admins"]), &roles, None), Some(Role::Administrator));
        assert_eq!(role(&set(&["x"]), &roles, None), None);
        assert_eq!(role(&set(&["x"]), &roles, Some(Role::User)), Some(Role::User));
        assert_eq!(role(&set(&["Admins"]), &roles, None), None, "letter for letter");
        assert_eq!(role(&set(&[]), &BTreeMap::new(), None), Some(Role::User));
    }

    #[test]
    fn stations_are_all_without_a_table_and_none_without_a_group_in_it() {
        let id = |text: &str| -> StationId { text.parse().unwrap() };
        let table = BTreeMap::from([
            ("g7".to_owned(), Stations::One(id("b7"))),
            ("all".to_owned(), Stations::Many(vec![id("b2"), id("b7")])),
        ]);
        assert_eq!(stations(&set(&["g7"]), &BTreeMap::new()), None);
        assert_eq!(stations(&set(&["g7"]), &table), Some(vec![id("b7")]));
        assert_eq!(stations(&set(&["g7", "all"]), &table), Some(vec![id("b2"), id("b7")]));
        assert_eq!(stations(&set(&["x"]), &table), Some(Vec::new()));
    }

    #[test]
    fn whatever_a_person_is_called_the_accounts_name_is_one() {
        for (called, name) in [
            ("ada", "ada"),
            ("Ada.Lovelace@example.org", "ada.lovelace"),
            ("李雷", "user"),
            ("", "user"),
            ("  ", "user"),
            ("../../etc/passwd", "etc-passwd"),
            ("1234", "user"),
            ("12ab", "ab"),
            ("a b\u{202e}c", "a-b-c"),
            ("<script>", "script"),
            ("root\0", "root"),
            (&"x".repeat(500), &"x".repeat(32)),
        ] {
            assert_eq!(account_name(called), name, "{called}");
            assert!(is_user_name(&account_name(called)), "{called}");
        }
    }
}
