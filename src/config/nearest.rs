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
        .map(|candidate| (strsim::levenshtein(name, candidate), candidate))
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
}
