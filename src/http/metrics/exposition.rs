//! The two formats of the text.

/// The media type of OpenMetrics.
pub(super) const NAME: &str = "application/openmetrics-text";
pub(super) const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// What came before it, and is still the default.
pub(super) const PLAIN_NAME: &str = "text/plain";
pub(super) const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Turns a text of OpenMetrics into the older format, where a counter is described by the name that
/// its samples have.
pub(super) fn plain(text: &str) -> String {
    let counters: Vec<&str> = text.lines().filter_map(counter).collect();
    let mut plain = String::with_capacity(text.len());
    for line in text.lines().filter(|line| !is_new(line)) {
        let described = ["# HELP ", "# TYPE "].into_iter().find_map(|kind| {
            let (name, rest) = line.strip_prefix(kind)?.split_once(' ')?;
            counters.contains(&name).then_some((kind, name, rest))
        });
        match described {
            Some((kind, name, rest)) => plain.extend([kind, name, "_total ", rest]),
            None => plain.push_str(line),
        }
        plain.push('\n');
    }
    plain
}

/// Returns the name if the line says that it is a counter's.
fn counter(line: &str) -> Option<&str> {
    line.strip_prefix("# TYPE ")?.strip_suffix(" counter")
}

/// Tells whether the older format does not know the line.
fn is_new(line: &str) -> bool {
    line == "# EOF" || line.starts_with("# UNIT ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_described_by_the_name_of_its_samples() {
        let open = "# HELP a_seconds Time.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\n\
                    a_seconds_total{b=\"# EOF\"} 1\n# HELP c Now.\n# TYPE c gauge\nc 2\n# EOF\n";
        let expected = "# HELP a_seconds_total Time.\n# TYPE a_seconds_total counter\n\
                        a_seconds_total{b=\"# EOF\"} 1\n# HELP c Now.\n# TYPE c gauge\nc 2\n";
        assert_eq!(plain(open), expected);
    }
}
