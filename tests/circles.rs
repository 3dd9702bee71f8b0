//! No circle of imports between the files of a room: a file that others import does not import them, neither
//! directly nor through more files. A name that a `pub use` passes on is imported from the file that defines it, and
//! the `pub use` itself is no import.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::architecture::{code_only, rust_files, tokens};

/// The names of a path: `crate::oci::Digest` has three.
type Names = Vec<String>;

/// How many files may pass a name on.
const PASSED_ON: usize = 16;

/// A file of the crate.
struct Module {
    file: String,
    /// The paths that it uses, but not those that it only passes on.
    imports: Vec<Names>,
    /// The names that a `use` brings in, and what they stand for.
    names: BTreeMap<String, Names>,
}

/// The files of a crate by the paths of their modules.
struct Sources(BTreeMap<Names, Module>);

impl Sources {
    fn read<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let module = |(file, source): (&str, &str)| (module_path(file), Module::read(file, source));
        Self(files.into_iter().map(module).collect())
    }

    /// Finds the module that defines what a path of another one leads to; none outside of the crate.
    fn resolve(&self, from: &[String], path: &[String], passed_on: usize) -> Option<Names> {
        let first = path.first()?;
        let up = path.iter().take_while(|name| *name == "super").count();
        let (mut at, rest) = match first.as_str() {
            "crate" => (Names::new(), &path[1..]),
            "self" => (from.to_vec(), &path[1..]),
            "super" => (from[..from.len().checked_sub(up)?].to_vec(), &path[up..]),
            _ if self.knows(from, first) => (from.to_vec(), path),
            _ => return None,
        };
        for (position, name) in rest.iter().enumerate() {
            let below = [at.as_slice(), std::slice::from_ref(name)].concat();
            if self.0.contains_key(&below) {
                at = below;
                continue;
            }
            let stands_for = self.0.get(&at)?.names.get(name);
            let Some(stands_for) = stands_for.filter(|_| passed_on < PASSED_ON) else { break };
            let path = [stands_for, &rest[position + 1..]].concat();
            return self.resolve(&at, &path, passed_on + 1);
        }
        self.0.contains_key(&at).then_some(at)
    }

    /// Tells whether a module has a child of that name, or brings it in.
    fn knows(&self, module: &[String], name: &String) -> bool {
        let below = [module, std::slice::from_ref(name)].concat();
        self.0.contains_key(&below)
            || self.0.get(module).is_some_and(|module| module.names.contains_key(name))
    }

    /// Lists for each module the others of its room that it imports.
    fn imports(&self) -> BTreeMap<&Names, BTreeMap<Names, String>> {
        let of = |path: &Names, module: &Module| {
            let target = |import: &Names| Some((self.resolve(path, import, 0)?, import.join("::")));
            let targets = module.imports.iter().filter_map(target);
            targets.filter(|(it, _)| it != path && it.first() == path.first()).collect()
        };
        self.0.iter().map(|(path, module)| (path, of(path, module))).collect()
    }

    /// Returns the files of a circle, each with its import of the next one; none if there is no circle.
    fn circle(&self) -> Option<Vec<(&str, String)>> {
        let mut imports = self.imports();
        // What imports nothing that is left is in no circle.
        loop {
            let left: BTreeSet<Names> = imports.keys().map(|path| (*path).clone()).collect();
            for targets in imports.values_mut() {
                targets.retain(|target, _| left.contains(target));
            }
            imports.retain(|_, targets| !targets.is_empty());
            if imports.len() == left.len() {
                break;
            }
        }
        let mut way = vec![*imports.keys().next()?];
        loop {
            let (next, _) = imports[way[way.len() - 1]].first_key_value()?;
            let (next, _) = imports.get_key_value(next)?;
            if let Some(begin) = way.iter().position(|path| path == next) {
                let link = |path: &&Names| {
                    let (_, import) = imports[*path].first_key_value()?;
                    Some((self.0[*path].file.as_str(), import.clone()))
                };
                return way[begin..].iter().map(link).collect();
            }
            way.push(next);
        }
    }
}

impl Module {
    fn read(file: &str, source: &str) -> Self {
        let tokens = tokens(&code_only(source));
        let tokens = without_tests(&tokens);
        let mut module =
            Self { file: file.to_owned(), imports: Vec::new(), names: BTreeMap::new() };
        let mut position = 0;
        while position < tokens.len() {
            position += match &tokens[position..] {
                [one, next, ..] if one == "use" && next != "<" => {
                    let is_public =
                        position > 0 && ["pub", ")"].contains(&tokens[position - 1].as_str());
                    module.note_use(&tokens[position..], is_public)
                }
                // Where something is visible is no import.
                [one, open, within, rest @ ..] if one == "pub" && open == "(" && within == "in" => {
                    3 + rest.iter().take_while(|token| *token != ")").count()
                }
                rest => module.note_path(rest),
            };
        }
        module
    }

    /// Notes what a `use` brings in, and returns how many tokens it has.
    fn note_use(&mut self, tokens: &[String], is_public: bool) -> usize {
        let length = tokens.iter().take_while(|token| *token != ";").count();
        for (mut path, name) in expanded(&tokens[1..length]) {
            if path.len() > 1 && path[path.len() - 1] == "self" {
                path.pop();
            }
            let name = name.or_else(|| path.last().cloned()).unwrap_or_default();
            if !is_public {
                self.imports.push(path.clone());
            }
            self.names.insert(name, path);
        }
        length
    }

    /// Notes the path that tokens begin with, if they do, and returns how many tokens were read. What begins with a
    /// type was noted where the type is brought in.
    fn note_path(&mut self, tokens: &[String]) -> usize {
        let mut path = vec![tokens[0].clone()];
        while let [colons, name, ..] = &tokens[2 * path.len() - 1..]
            && colons == "::"
            && is_name(name)
        {
            path.push(name.clone());
        }
        let length = 2 * path.len() - 1;
        if length > 1 && path[0].starts_with(|first: char| first.is_lowercase()) {
            self.imports.push(path);
        }
        length
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Returns the path of a file's module: `oci/mod.rs` is `oci`, `oci/name.rs` is `oci::name`.
fn module_path(file: &str) -> Names {
    let path = file.strip_suffix(".rs").unwrap_or(file);
    let path = path.strip_suffix("/mod").unwrap_or(path);
    path.split('/').map(str::to_owned).collect()
}

/// Returns the tokens before the tests of a file, which may import whatever they test.
fn without_tests(tokens: &[String]) -> &[String] {
    const TESTS: [&str; 8] = ["#", "[", "cfg", "(", "test", ")", "]", "mod"];
    let begin = tokens.windows(TESTS.len() + 2).position(|window| {
        window[..TESTS.len()].iter().eq(TESTS) && window[TESTS.len() + 1] == "{"
    });
    &tokens[..begin.unwrap_or(tokens.len())]
}

/// Lists the paths of a `use`, each with the other name that it gets, if it gets one.
fn expanded(tokens: &[String]) -> Vec<(Names, Option<String>)> {
    let names = |tokens: &[String]| -> Names {
        tokens.iter().filter(|token| *token != "::").cloned().collect()
    };
    let Some(open) = tokens.iter().position(|token| token == "{") else {
        let end = tokens.iter().position(|token| token == "as").unwrap_or(tokens.len());
        return vec![(names(&tokens[..end]), tokens.get(end + 1).cloned())];
    };
    let (first, inside) = (names(&tokens[..open]), &tokens[open + 1..tokens.len() - 1]);
    let mut depth = 0;
    let items = inside.split(|token| {
        depth += i32::from(token == "{") - i32::from(token == "}");
        depth == 0 && token == ","
    });
    let items = items.filter(|item| !item.is_empty()).flat_map(expanded);
    items.map(|(rest, name)| ([first.as_slice(), &rest].concat(), name)).collect()
}

#[test]
fn no_file_of_a_room_imports_one_that_imports_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files: Vec<(String, String)> = rust_files(&folder)
        .iter()
        .map(|path| {
            let file = path.strip_prefix(&folder).unwrap().to_str().unwrap().replace('\\', "/");
            (file, fs::read_to_string(path).unwrap())
        })
        .collect();
    let files = files.iter().map(|(file, source)| (file.as_str(), source.as_str()));
    let sources = Sources::read(files);
    let count = sources.imports().values().map(BTreeMap::len).sum::<usize>();
    assert!(count > 500, "only {count} imports were found");
    assert_eq!(sources.circle(), None, "each of these files imports the next one");
}

#[test]
fn a_circle_is_found_in_whatever_form() {
    let circle = |a: &str, b: &str, top: &str| {
        let files = [("room/mod.rs", top), ("room/a.rs", a), ("room/b/mod.rs", b)];
        let sources = Sources::read(files.into_iter().chain([("other.rs", "pub struct Other;")]));
        let files = sources.circle()?;
        Some(files.iter().map(|(file, _)| *file).collect::<Vec<_>>().join(" "))
    };
    let top = "mod a;\npub(crate) mod b;\npub use a::A;\npub use b::{self as bees, B};";
    let both = Some("room/a.rs room/b/mod.rs".to_owned());
    for (a, b) in [
        ("use super::b::B;", "use super::a::A;"),
        ("use super::B;", "use crate::room::A;"),
        ("use crate::{other::Other, room::{self, b::{B}}};", "use super::{A as First};"),
        ("fn f() { super::b::g() }", "fn g(a: &crate::room::A) {}"),
        ("use super::bees;", "use super::a;"),
        ("macro_rules! m { () => { $crate::room::b::g() } }", "use super::a::m;"),
        (
            "use super::b::B;\n#[cfg(test)]\nmod tests {}",
            "pub(in crate::room) use super::A; use super::A;",
        ),
    ] {
        assert_eq!(circle(a, b, top), both, "{a} {b}");
    }
    let through_top = "mod a;\nmod b;\nuse a::A;\npub struct Top;";
    let found = circle("use super::Top;", "", through_top);
    assert_eq!(found.as_deref(), Some("room/mod.rs room/a.rs"));
    let found = circle("use super::Top;", "", "mod a;\nmod b;\nfn f() { a::g() }\npub struct Top;");
    assert_eq!(found.as_deref(), Some("room/mod.rs room/a.rs"));
    for (a, b, top) in [
        ("use super::b::B;", "", top),
        ("use super::Top;", "use super::A;", "mod a;\nmod b;\npub use a::A;\npub struct Top;"),
        ("use super::B;", "// use super::A;\nconst A: &str = \"super::A\";", top),
        ("use super::B;", "#[cfg(test)]\nmod tests {\n    use super::super::A;\n}", top),
        ("use super::B;", "pub(in super::super) struct B;", top),
        ("use crate::other::Other;", "use super::a::A;", top),
    ] {
        assert_eq!(circle(a, b, top), None, "{a} {b} {top}");
    }
}
