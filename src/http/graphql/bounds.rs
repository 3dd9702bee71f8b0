//! How much one request may be about.

/// How deep fields may stand within others. Tools that read a schema need 13.
pub(super) const DEPTH: usize = 15;

/// How much a request may be about: a field counts one, those of a list as often as it may have entries, a change
/// [`CHANGE`].
pub(super) const COMPLEXITY: usize = 20_000;

/// What a field counts that queries the index: all of a request do so at once, and others wait for that.
pub(super) const QUERY: usize = 200;

/// How many requests are carried out at a time. The others wait.
pub(super) const AT_ONCE: usize = 4;

/// What a change counts: so many fit into one request that a client cannot fill the queue of passwords by it.
pub(super) const CHANGE: usize = 1000;

/// How deep the text of a request may nest.
pub(super) const NESTING: usize = 32;

/// How many directives a field may have.
pub(super) const DIRECTIVES: usize = 4;

/// The same for requests that read the schema.
pub(super) const COMPLEXITY_OF_INTROSPECTION: usize = 300;

/// How many fragments a request uses at most. The library expands each where it is used, so of fragments that use
/// others the work doubles with each: with these it is some hundreds of expansions, in whatever form.
pub(super) const FRAGMENTS: usize = 16;

/// Tells whether a request uses more fragments than that.
pub(super) fn has_many_fragments(query: &str) -> bool {
    query.matches("...").count() > FRAGMENTS
}

/// Tells whether a request reads the schema. Names cannot be written in another way.
pub(super) fn reads_schema(query: &str) -> bool {
    let of_types = |at: usize| !query[at..].starts_with("__typename");
    query.contains("__schema") || query.match_indices("__type").any(|(at, _)| of_types(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_that_double_the_work_are_refused() {
        let chain = |length: usize| {
            let fragments =
                (0..length).map(|it| format!("fragment F{it} on Query{{...F{0} ...F{0}}}", it + 1));
            format!("{{...F0}} {}", fragments.collect::<String>())
        };
        assert!(has_many_fragments(&chain(8)) && !has_many_fragments(&chain(7)));
    }

    #[test]
    fn a_request_that_reads_the_schema_is_known() {
        for query in [
            "{__schema{types{name}}}",
            "{a: __type (name: \"User\"){name}}",
            "{x{__typename}__type(name:\"a\"){name}}",
        ] {
            assert!(reads_schema(query), "{query}");
        }
        assert!(!reads_schema("{viewer{__typename name}}"));
    }
}
