//! Patterns of repository names, and the ranges of names that they can match.

/// The least character that is greater than any in a repository's name.
const AFTER: char = '~';

/// A character that is less than any in a repository's name.
const BEFORE: char = '!';

/// A pattern of repository names, matched component by component.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VisiblePattern(Vec<PatternComponent>);

/// What a component of a name has to be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PatternComponent {
    /// Just that.
    Literal(String),
    /// Anything (`*`).
    Any,
    /// This one and those after it, anything (`**`). A pattern that goes on after it matches nothing.
    Rest,
}

/// Names from one to another one, both included, by the bytes of their text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: String,
    pub(super) last: String,
}

impl VisiblePattern {
    /// Makes a pattern of its components. One without any matches nothing.
    #[must_use]
    pub fn new(components: Vec<PatternComponent>) -> Self {
        Self(components)
    }

    /// Returns what is in a namespace: the repository of that name, and all below it.
    #[must_use]
    pub fn of_namespace(name: &str) -> [Self; 2] {
        let literal = PatternComponent::Literal(name.to_owned());
        [Self(vec![literal.clone()]), Self(vec![literal, PatternComponent::Rest])]
    }

    /// Tells whether a repository's name matches.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let mut components = name.split('/');
        for (position, expected) in self.0.iter().enumerate() {
            let Some(component) = components.next() else { return false };
            match expected {
                PatternComponent::Literal(literal) if literal != component => return false,
                PatternComponent::Literal(_) | PatternComponent::Any => {}
                PatternComponent::Rest => return position + 1 == self.0.len(),
            }
        }
        !self.0.is_empty() && components.next().is_none()
    }

    /// Returns a pattern of `LIKE` with the escape `!` that all names match which match this one, and how many slashes these
    /// have at least and at most.
    pub(super) fn like(&self) -> (String, [i64; 2]) {
        let component = |component: &PatternComponent| match component {
            // Of what `LIKE` takes for something else a name has `_` alone.
            PatternComponent::Literal(literal) => literal.replace('!', "!!").replace('_', "!_"),
            PatternComponent::Any | PatternComponent::Rest => "%".to_owned(),
        };
        let components: Vec<String> = self.0.iter().map(component).collect();
        let least = i64::try_from(self.0.len()).unwrap_or(i64::MAX).saturating_sub(1);
        let most = if self.0.last() == Some(&PatternComponent::Rest) { i64::MAX } else { least };
        (components.join("/"), [least, most])
    }

    /// Returns the least range that has all names which match. It is one name where all components are literal; else it
    /// has what begins with the literal ones before the first that is not.
    fn range(&self) -> Range {
        let literals = self.0.iter().map_while(|component| match component {
            PatternComponent::Literal(literal) => Some(literal.as_str()),
            PatternComponent::Any | PatternComponent::Rest => None,
        });
        let literals: Vec<&str> = literals.collect();
        let mut first = literals.join("/");
        if literals.len() == self.0.len() {
            return Range { last: first.clone(), first };
        }
        if !first.is_empty() {
            first.push('/');
        }
        Range { last: format!("{first}{AFTER}"), first }
    }

    /// Tells whether all names of its range match.
    fn is_a_range(&self) -> bool {
        let open = self.0.iter().filter(|it| !matches!(it, PatternComponent::Literal(_))).count();
        open == 0 || (open == 1 && self.0.last() == Some(&PatternComponent::Rest))
    }
}

impl Range {
    /// All names.
    pub(super) fn all() -> Self {
        Self { first: String::new(), last: AFTER.to_string() }
    }

    /// No name.
    pub(super) fn none() -> Self {
        Self { first: AFTER.to_string(), last: String::new() }
    }

    /// Returns what is left of it after a name, and up to another one if there is one; none where that is nothing.
    pub(super) fn clipped(&self, after: &str, through: Option<&str>) -> Option<Self> {
        let first = self.first.clone().max(format!("{after}{BEFORE}"));
        let last = through.map_or(self.last.as_str(), |through| through.min(&self.last)).to_owned();
        (first <= last).then_some(Self { first, last })
    }
}

/// Returns ranges that have all names which match one of the patterns, in order, none of which overlap; and whether all
/// of their names match.
pub(super) fn ranges(patterns: &[VisiblePattern]) -> (Vec<Range>, bool) {
    let mut ranges: Vec<Range> = patterns.iter().map(VisiblePattern::range).collect();
    ranges.sort_by(|one, other| one.first.cmp(&other.first));
    let mut disjoint: Vec<Range> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match disjoint.last_mut() {
            Some(before) if range.first <= before.last => {
                before.last = before.last.clone().max(range.last);
            }
            _ => disjoint.push(range),
        }
    }
    (disjoint, patterns.iter().all(VisiblePattern::is_a_range))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> VisiblePattern {
        let component = |text: &str| match text {
            "*" => PatternComponent::Any,
            "**" => PatternComponent::Rest,
            text => PatternComponent::Literal(text.to_owned()),
        };
        VisiblePattern::new(text.split('/').map(component).collect())
    }

    #[test]
    fn a_pattern_matches_by_component() {
        for (text, name, is_match) in [
            ("org/**", "org/app", true),
            ("org/**", "org/team/app", true),
            ("org/**", "org", false),
            ("org/**", "org2/app", false),
            ("org/**", "org-x/app", false),
            ("org/*", "org/app", true),
            ("org/*", "org/team/app", false),
            ("org/app", "org/app", true),
            ("org/app", "org/app2", false),
            ("org/app", "org/app/x", false),
            ("org", "org", true),
            ("*", "org", true),
            ("*", "org/app", false),
            ("**", "org", true),
            ("**", "org/team/app", true),
            ("*/app", "org/app", true),
            ("*/app", "org/apps", false),
            ("org/*/app", "org/team/app", true),
            ("org/*/app", "org/app", false),
            ("org/*/**", "org/team", false),
            ("org/*/**", "org/team/app", true),
            ("**/app", "org/app", false),
            ("**/**", "org/app", false),
        ] {
            assert_eq!(pattern(text).matches(name), is_match, "{text} {name}");
            let (ranges, is_exact) = ranges(&[pattern(text)]);
            let is_in = ranges.iter().any(|it| *it.first <= *name && *name <= *it.last);
            assert!(is_in || !is_match, "{text} {name}");
            assert!(!is_exact || is_in == is_match, "{text} {name}");
        }
        assert!(!VisiblePattern::new(Vec::new()).matches(""));
        assert!(!VisiblePattern::new(Vec::new()).matches("org"));
    }

    #[test]
    fn ranges_are_in_order_and_do_not_overlap() {
        let texts = ["b/*", "a", "a/**", "b/c/**", "b/c", "z/x", "a-b/**", "a"];
        let (ranges, is_exact) = ranges(&texts.map(pattern));
        let range =
            |first: &str, last: &str| Range { first: first.to_owned(), last: last.to_owned() };
        let expected = [
            range("a", "a"),
            range("a-b/", "a-b/~"),
            range("a/", "a/~"),
            range("b/", "b/~"),
            range("z/x", "z/x"),
        ];
        assert_eq!(ranges, expected);
        assert!(!is_exact);
        assert_eq!(super::ranges(&[pattern("a/**"), pattern("**")]).0, [Range::all()]);
        assert_eq!(super::ranges(&[]), (Vec::new(), true));
    }

    #[test]
    fn a_page_begins_after_the_last_name_of_the_one_before() {
        let (ranges, _) = ranges(&[pattern("a/**"), pattern("b")]);
        let first =
            |after: &str| ranges.iter().find_map(|it| it.clipped(after, None)).map(|it| it.first);
        assert_eq!(first("").as_deref(), Some("a/"));
        assert!(first("a/b").is_some_and(|first| *"a/b" < *first && *first < *"a/b-"));
        assert_eq!(first("a/~").as_deref(), Some("b"));
        assert_eq!(first("b"), None);
        assert_eq!(ranges[0].clipped("", Some("a/c")).map(|it| it.last).as_deref(), Some("a/c"));
        assert_eq!(ranges[1].clipped("", Some("a/c")), None);
    }
}
