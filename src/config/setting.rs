//! What a setting is.

/// One setting: what it is called, what it means, and its default.
#[derive(Debug)]
pub struct Setting {
    /// Concern and setting, joined by dots, as in a TOML file.
    pub name: &'static str,
    /// The form of its values.
    pub kind: Kind,
    /// The default as TOML.
    pub default: &'static str,
    /// What a value has to be, as the end of "expected …".
    pub expects: &'static str,
    /// What it is for: one or more sentences.
    pub help: &'static str,
}

/// The form of a setting's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// A text that is never shown, and may be given as a file.
    Secret,
    /// `true` or `false`.
    Flag,
    /// A whole number, zero or more.
    Number,
    /// A number with a unit, such as `30s` or `7d`; without one, seconds.
    Duration,
    /// Several texts; in the environment, separated by commas.
    List,
    /// Several tables; in the environment, a JSON array of objects.
    Tables,
}

impl Setting {
    /// Returns the environment variable that sets it.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("ROADSTEAD_{}", self.name.to_uppercase().replace('.', "__"))
    }

    /// Returns the environment variable that names a file with its value, if it is a secret.
    #[must_use]
    pub fn file_variable(&self) -> Option<String> {
        (self.kind == Kind::Secret).then(|| format!("{}_FILE", self.variable()))
    }
}
