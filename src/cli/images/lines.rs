//! Lists as lines.

/// Writes each text on a line of its own.
pub(super) fn lines<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    texts.into_iter().flat_map(|text| [text, "\n"]).collect()
}
