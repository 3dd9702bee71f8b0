//! The `Accept` header (RFC 9110, 12.5.1): a list of media ranges, each with parameters and a quality.

use actix_web::HttpRequest;
use actix_web::http::header::ACCEPT;

/// How many ranges are looked at; browsers send a dozen.
const MOST: usize = 100;

/// What a client accepts, in the order in which it names it; one that sends no header names nothing.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Accept(Vec<MediaRange>);

/// One media range. Its type and the names of its parameters are in lower case.
#[derive(Debug, PartialEq)]
pub(super) struct MediaRange {
    /// `type/subtype`, `type/*` or `*/*`
    pub(super) media_type: String,
    /// How much the client likes it, from 0 (not at all) to 1.
    pub(super) quality: f32,
    parameters: Vec<(String, String)>,
}

impl Accept {
    /// Reads all the headers of that name. What cannot be read is left out, or counts as not said.
    pub(super) fn read(request: &HttpRequest) -> Self {
        let values = request.headers().get_all(ACCEPT).filter_map(|value| value.to_str().ok());
        let ranges = values.flat_map(|value| split(value, ',')).filter_map(MediaRange::read);
        Self(ranges.take(MOST).collect())
    }

    /// The ranges, the ones that the client likes best first.
    pub(super) fn best_first(&self) -> Vec<&MediaRange> {
        let mut ranges: Vec<&MediaRange> = self.0.iter().collect();
        // Stable: of those that it likes as much, the first stays the first.
        ranges.sort_by(|one, other| other.quality.total_cmp(&one.quality));
        ranges
    }

    /// How much the client likes a type whose parameters have these values: the range that says most about it
    /// counts (RFC 9110, 12.5.1). None if no range includes it.
    pub(super) fn quality(&self, media_type: &str, parameters: &[(&str, &str)]) -> Option<f32> {
        let including = self.0.iter().filter(|range| range.includes(media_type, parameters));
        // Of those that say as much, the first.
        including.rev().max_by_key(|range| range.precision()).map(|range| range.quality)
    }
}

impl MediaRange {
    fn read(text: &str) -> Option<Self> {
        let mut pieces = split(text, ';');
        let media_type = pieces.next()?.to_ascii_lowercase();
        let (kind, name) = media_type.split_once('/')?;
        if kind.is_empty() || name.is_empty() {
            return None;
        }
        let parameters: Vec<(String, String)> = pieces
            .filter_map(|piece| piece.split_once('='))
            .map(|(name, value)| {
                (name.trim_end().to_ascii_lowercase(), unquoted(value.trim_start()))
            })
            .collect();
        let parameter = |key: &str| parameters.iter().find(|(name, _)| name == key);
        let quality = parameter("q").and_then(|(_, value)| value.parse::<f32>().ok());
        // Also what is no number of the permitted ones, and says nothing then.
        let quality = quality.filter(|quality| (0.0..=1.0).contains(quality)).unwrap_or(1.0);
        Some(Self { media_type, quality, parameters })
    }

    /// Returns the value of a parameter, of several of one name the first; none where it is empty.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(it, _)| it == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    fn includes(&self, media_type: &str, parameters: &[(&str, &str)]) -> bool {
        let is_of_it = match self.media_type.strip_suffix('*') {
            Some("*/") => true,
            Some(kind) => media_type.starts_with(kind),
            None => self.media_type == media_type,
        };
        is_of_it
            && parameters.iter().all(|(name, value)| {
                self.parameter(name).is_none_or(|expected| expected.eq_ignore_ascii_case(value))
            })
    }

    /// The more a range says, the more its quality counts.
    fn precision(&self) -> (usize, usize) {
        let stars = self.media_type.matches('*').count();
        let parameters = self.parameters.iter().filter(|(name, _)| name != "q").count();
        (2_usize.saturating_sub(stars), parameters)
    }
}

/// Cuts a text at a separator that stands outside of quotes, and trims the pieces.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let pieces = text.split(move |letter| {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ => return letter == separator && !is_quoted,
        }
        false
    });
    pieces.map(str::trim)
}

/// Returns the value of a parameter, which may be written as a quoted string.
fn unquoted(value: &str) -> String {
    let Some(quoted) = value.strip_prefix('"') else { return value.to_owned() };
    let mut text = String::new();
    let mut letters = quoted.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => break,
            '\\' => text.extend(letters.next()),
            _ => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn read(values: &[&str]) -> Accept {
        let request = values
            .iter()
            .fold(TestRequest::default(), |request, value| request.append_header((ACCEPT, *value)));
        Accept::read(&request.to_http_request())
    }

    fn types(values: &[&str]) -> Vec<(String, f32)> {
        let accept = read(values);
        let ranges = accept.best_first();
        ranges.into_iter().map(|range| (range.media_type.clone(), range.quality)).collect()
    }

    #[test]
    fn the_best_range_is_the_first_of_the_best() {
        let expected = [("b/c", 1.0), ("d/*", 1.0), ("*/*", 0.5), ("a/b", 0.25), ("e/f", 0.0)];
        let expected: Vec<_> = expected.iter().map(|(text, q)| ((*text).to_owned(), *q)).collect();
        assert_eq!(types(&["A/B ; Q=0.25,b/C,, */*;q=0.5", "d/*, e/f;q=0"]), expected);
    }

    #[test]
    fn a_quality_that_is_none_is_not_said() {
        for quality in ["2", "-1", "NaN", "inf", "x", "", "\"1\""] {
            assert_eq!(
                types(&[&format!("a/b;q={quality}")]),
                [("a/b".to_owned(), 1.0)],
                "{quality}"
            );
        }
        assert_eq!(types(&["a/b;q=\"0.5\""]), [("a/b".to_owned(), 0.5)]);
    }

    #[test]
    fn separators_within_quotes_are_part_of_a_value() {
        let accept = read(&[r#"a/b; x="1,2;\"3" ;y = z, c/d"#]);
        assert_eq!(accept.0.len(), 2);
        assert_eq!(accept.0[0].parameter("x"), Some("1,2;\"3"));
        assert_eq!(accept.0[0].parameter("y"), Some("z"));
        assert_eq!(read(&["a/b;x=\"never closed, c/d"]).0.len(), 1);
    }

    #[test]
    fn what_is_no_range_is_left_out() {
        assert_eq!(read(&["", ",", "text", "/", "a/", "/b", ";q=1"]), Accept::default());
    }

    #[test]
    fn the_range_that_says_most_counts() {
        let accept = read(&["*/*;q=0.1, a/*;q=0.2, a/b;q=0.3, a/b;x=1;q=0.4, c/d;q=0"]);
        for (media_type, x, quality) in [
            ("a/b", "1", 0.4),
            ("a/b", "2", 0.3),
            ("a/c", "1", 0.2),
            ("c/d", "1", 0.0),
            ("e/f", "", 0.1),
        ] {
            assert_eq!(accept.quality(media_type, &[("x", x)]), Some(quality), "{media_type} {x}");
        }
        assert_eq!(read(&["a/b"]).quality("a/c", &[]), None);
    }
}
