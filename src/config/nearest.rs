//! The known name that a mistyped one may have meant.

/// Returns the candidate that is fewest edits away from the name, if it is near enough to be meant;
/// otherwise one that ends in the same word after a dot. A name that was cut short is the beginning of what was meant.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    if let Some(whole) = candidates.clone().find(|candidate| begins(candidate, name)) {
        return Some(whole);
    }
    let limit = (name.chars().count() / 4).max(2);
    let closest = candidates
        .clone()
        .map(|candidate| (distance(name, candidate), candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= limit);
    if let Some((_, candidate)) = closest {
        return Some(candidate);
    }
    let last = |path: &'a str| path.rsplit('.').next();
    let word = name.rsplit('.').next();
    candidates.into_iter().find(|candidate| last(candidate) == word)
}

/// Whether the candidate goes on after a name of at least three characters in its last word.
fn begins(candidate: &str, name: &str) -> bool {
    let word = name.rsplit('.').next().unwrap_or(name);
    let rest = candidate.strip_prefix(name);
    name.contains('.') && word.len() >= 3 && rest.is_some_and(|rest| !rest.contains('.'))
}

/// Counts the characters to insert, remove or replace (Levenshtein), one row of the matrix at a time.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, left_character) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, right_character) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(left_character != *right_character);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_the_name() {
        let find = |name| nearest(name, ["server.listen", "server.data", "log.level"].into_iter());
        assert_eq!(find("server.lisen"), Some("server.listen"));
        assert_eq!(find("servre.data"), Some("server.data"));
        assert_eq!(find("listen"), Some("server.listen"), "the concern was left out");
        assert_eq!(find("logging.level"), Some("log.level"));
        assert_eq!(find("colour"), None);

        let tls = ["server.tls.key", "server.tls.certificate"].into_iter();
        assert_eq!(nearest("server.tls.cert", tls), Some("server.tls.certificate"));
    }

    #[test]
    fn the_distance_counts_edits() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
