//! Discovery: rules that register the tables of a store as they appear. Pure; looking is done
//! elsewhere.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{NameError, Policy, TableName};

/// A rule. What is left out has its default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleSpec {
    /// Where tables are looked for: `gs://bucket/warehouse/**`, `STORE:warehouse/*`. `*` stands
    /// for one folder's name, `**` at the end for folders at any depth.
    #[schema(min_length = 1, max_length = 2_000)]
    pub pattern: String,
    /// Paths below the pattern's fixed part that are taken; `*` for any characters of one folder,
    /// `**` for any. None = all.
    #[serde(default)]
    #[schema(max_items = 64)]
    pub include: Vec<String>,
    /// Paths that are not taken, although included.
    #[serde(default)]
    #[schema(max_items = 64)]
    pub exclude: Vec<String>,
    /// The name of a table, from the folders of its path: `lake.{1}.{2}`; `{-1}` is the last one,
    /// `{path}` all of them, joined by underscores. Other characters than names have become
    /// underscores.
    #[schema(min_length = 1, max_length = 400)]
    pub name: String,
    /// Sites that publish the tables.
    #[schema(min_items = 1, max_items = 16)]
    pub sites: Vec<String>,
    /// How the tables are kept in step.
    #[serde(default)]
    pub policy: Policy,
    /// Register them paused.
    #[serde(default)]
    pub paused: bool,
    /// How often it is looked, in seconds.
    #[serde(default = "every_seconds")]
    #[schema(minimum = 60, maximum = 86_400)]
    pub every_seconds: u64,
}

fn every_seconds() -> u64 {
    600
}

/// What a rule makes of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A table of this name.
    Table(TableName),
    /// Not the rule's.
    Excluded,
    /// The template makes no name of it: why.
    Unnamed(String),
}

impl RuleSpec {
    /// Checks what types do not.
    ///
    /// # Errors
    /// The field, and what it may be.
    pub fn check(&self) -> Result<(), String> {
        self.policy.check()?;
        if !self.pattern.contains('*') {
            return Err("pattern: it has no *; register a single table instead".to_owned());
        }
        if self.pattern.trim_end_matches("**").contains("**") {
            return Err("pattern: ** stands only at its end".to_owned());
        }
        if self.sites.is_empty() {
            return Err("sites: name one at least".to_owned());
        }
        if !(60..=86_400).contains(&self.every_seconds) {
            return Err(format!("every_seconds is {}: use 60 to 86400", self.every_seconds));
        }
        for glob in self.include.iter().chain(&self.exclude) {
            if glob.is_empty() || glob.len() > 1_000 {
                return Err("include, exclude: use 1 to 1000 characters each".to_owned());
            }
        }
        // Any path will do: the template's own mistakes show.
        let levels = ["a"; MAX_LEVELS];
        self.named(&levels).map(drop).map_err(|error| format!("name: {error}"))
    }

    /// What the rule makes of a table at this path below the pattern's fixed part.
    pub fn found(&self, path: &str) -> Found {
        let taken = self.include.is_empty() || self.include.iter().any(|glob| fits(glob, path));
        if !taken || self.exclude.iter().any(|glob| fits(glob, path)) {
            return Found::Excluded;
        }
        let levels: Vec<_> = path.split('/').collect();
        match self.named(&levels) {
            Ok(name) => Found::Table(name),
            Err(why) => Found::Unnamed(why),
        }
    }

    fn named(&self, levels: &[&str]) -> Result<TableName, String> {
        let mut text = String::new();
        let mut rest = self.name.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            text.push_str(before);
            let (field, after) = after.split_once('}').ok_or("a { has no }")?;
            text.push_str(&value(field, levels)?);
            rest = after;
        }
        text.push_str(rest);
        TableName::parse(&text).map_err(|error: NameError| error.to_string())
    }
}

/// Paths of discovered tables have this many folders at most.
const MAX_LEVELS: usize = 16;

fn value(field: &str, levels: &[&str]) -> Result<String, String> {
    if field == "path" {
        let all: Vec<_> = levels.iter().map(|level| identifier(level)).collect();
        return Ok(all.join("_"));
    }
    let number: i64 = field.parse().map_err(|_| format!("{{{field}}} is no field"))?;
    let count = i64::try_from(levels.len()).unwrap_or(i64::MAX);
    let at = if number < 0 { count.checked_add(number) } else { number.checked_sub(1) };
    let at = at.and_then(|at| usize::try_from(at).ok());
    let level = at.and_then(|at| levels.get(at));
    level
        .map(|level| identifier(level))
        .ok_or_else(|| format!("{{{field}}}: the path {} has no such folder", levels.join("/")))
}

/// A folder's name as an identifier.
fn identifier(text: &str) -> String {
    let one = |letter: char| match letter {
        'a'..='z' | '0'..='9' | '_' => letter,
        'A'..='Z' => letter.to_ascii_lowercase(),
        _ => '_',
    };
    text.chars().map(one).collect()
}

/// Whether a path fits a glob: `*` any characters of one folder, `**` any.
fn fits(glob: &str, path: &str) -> bool {
    let glob: Vec<_> = glob.chars().collect();
    let path: Vec<_> = path.chars().collect();
    // Positions of the glob that the path's letters so far may have led to.
    let mut at = closed(&glob, [0].into());
    for letter in path {
        let mut next = std::collections::BTreeSet::new();
        for position in at {
            match (glob.get(position), glob.get(position + 1)) {
                (Some('*'), Some('*')) => {
                    next.insert(position);
                }
                (Some('*'), _) if letter != '/' => {
                    next.insert(position);
                }
                (Some(expected), _) if *expected == letter => {
                    next.insert(position + 1);
                }
                _ => {}
            }
        }
        at = closed(&glob, next);
    }
    at.contains(&glob.len())
}

/// Adds the positions behind stars, which may stand for nothing.
fn closed(
    glob: &[char],
    mut at: std::collections::BTreeSet<usize>,
) -> std::collections::BTreeSet<usize> {
    for position in 0..glob.len() {
        if at.contains(&position) && glob.get(position) == Some(&'*') {
            let both = glob.get(position + 1) == Some(&'*');
            at.insert(position + 1 + usize::from(both));
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, include: &[&str], exclude: &[&str]) -> RuleSpec {
        let owned = |globs: &[&str]| globs.iter().map(|glob| (*glob).to_owned()).collect();
        RuleSpec {
            pattern: "gs://lake/warehouse/**".to_owned(),
            include: owned(include),
            exclude: owned(exclude),
            name: name.to_owned(),
            sites: vec!["east".to_owned()],
            policy: Policy::default(),
            paused: false,
            every_seconds: 600,
        }
    }

    #[track_caller]
    fn check(name: &str, path: &str, expect: Option<&str>) {
        let found = rule(name, &[], &[]).found(path);
        match (found, expect) {
            (Found::Table(name), Some(expect)) => assert_eq!(name.to_string(), expect),
            (Found::Unnamed(_), None) => {}
            (found, _) => panic!("{name} {path}: {found:?}"),
        }
    }

    #[test]
    fn names_are_made_of_folders() {
        check("lake.{1}.{2}", "sales/orders", Some("lake.sales.orders"));
        check("lake.{1}.{-1}", "Sales/2024/My-Orders", Some("lake.sales.my_orders"));
        check("lake.all.{path}", "a/b c/d", Some("lake.all.a_b_c_d"));
        check("lake.db_{1}.{2}_v1", "x/y", Some("lake.db_x.y_v1"));
        check("lake.{1}.{2}", "orders", None);
        check("lake.{1}.{2}", "sales/", None);
        check("lake.{0}.{1}", "a/b", None);
        check("lake.{-3}.{1}", "a/b", None);
    }

    #[test]
    fn globs_choose_paths() {
        for (glob, fit, other) in [
            ("sales/*", &["sales/a", "sales/"][..], &["sales", "sales/a/b", "x/sales/a"][..]),
            ("**", &["", "a", "a/b"], &[]),
            ("**/tmp", &["a/tmp", "a/b/tmp", "/tmp"], &["tmp", "a/tmpx"]),
            ("**tmp*", &["tmp", "a/tmp", "a/btmpx"], &["tmp/a", "a"]),
            ("a*b*c", &["abc", "aXbYc"], &["ab", "a/bc", "abcd"]),
            ("", &[""], &["a"]),
        ] {
            for path in fit {
                assert!(fits(glob, path), "{glob} {path}");
            }
            for path in other {
                assert!(!fits(glob, path), "{glob} {path}");
            }
        }
    }

    #[test]
    fn what_is_excluded_is_no_table() {
        let rule = rule("lake.{1}.{2}", &["sales/*", "hr/*"], &["**/tmp*"]);
        assert!(matches!(rule.found("sales/orders"), Found::Table(_)));
        assert_eq!(rule.found("sales/tmp_1"), Found::Excluded);
        assert_eq!(rule.found("it/orders"), Found::Excluded);
    }

    #[test]
    fn rules_are_checked() {
        assert_eq!(rule("lake.{1}.{2}", &[], &[]).check(), Ok(()));
        for name in ["lake.{1}", "{1}.{2}.{x}", "lake.{1.{2}", "lake.{17}.{1}", "LAKE.{1}.{2}"] {
            assert!(rule(name, &[], &[]).check().is_err(), "{name}");
        }
        for pattern in ["gs://lake/warehouse", "gs://lake/**/x/**", "gs://lake/**/x"] {
            let rule = RuleSpec { pattern: pattern.to_owned(), ..rule("a1.{1}.{2}", &[], &[]) };
            assert!(rule.check().is_err(), "{pattern}");
        }
    }
}
