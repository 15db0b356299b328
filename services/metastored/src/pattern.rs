//! Patterns of names, as Hive has them: `*` is anything, `|` separates alternatives.

/// Whether a name is one that a pattern means. Capitals do not matter. `.` stands for one
/// character and `.*` for any, since some clients write regular expressions; no name has a dot.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    pattern.split('|').any(|one| {
        let one = one.trim().to_ascii_lowercase().replace(".*", "*");
        glob(one.as_bytes(), name.as_bytes())
    })
}

/// Goes back to the last `*` only: time grows with the product of the lengths at most.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(at), name.get(read)) {
            (Some(b'*'), _) => {
                star = Some((at, read));
                at += 1;
            }
            (Some(one), Some(byte)) if one == byte || *one == b'.' => {
                at += 1;
                read += 1;
            }
            (None, None) => return true,
            _ => match star {
                Some((after, from)) if from < name.len() => {
                    star = Some((after, from + 1));
                    at = after + 1;
                    read = from + 1;
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, names: &[&str], others: &[&str]) {
        for name in names {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for name in others {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn patterns_mean_what_they_mean_to_hive() {
        check("*", &["", "orders"], &[]);
        check(".*", &["", "orders"], &[]);
        check("d_*", &["d_", "d_history"], &["d", "xd_"]);
        check("D_*", &["d_history"], &[]);
        check("*_ro|*_rt", &["t_ro", "t_rt"], &["t", "t_ro_"]);
        check("a*b*c", &["abc", "aXbYc", "abbc"], &["ab", "acb"]);
        check("orders", &["orders"], &["orders2", "order"]);
        check("", &[""], &["a"]);
        check("o.ders", &["orders"], &["oders"]);
    }

    #[test]
    fn a_pattern_of_stars_ends() {
        let pattern = "*a".repeat(500);
        assert!(!matches(&pattern, &"a".repeat(499)));
        assert!(matches(&pattern, &"a".repeat(500)));
    }
}
