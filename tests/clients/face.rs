//! The faces that a registry shows to its clients.

/// Whether a registry encrypts, and who it serves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Face {
    pub(crate) is_encrypted: bool,
    pub(crate) guests: Guests,
}

/// Who may come without a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guests {
    All,
    None,
    /// Whoever only pulls; clients learn that from the tokens which they are given.
    Pulling,
    /// Nobody: repositories are private, and clients sign in with accounts, by tokens.
    Strangers,
}

pub(crate) const OPEN: Face = Face { is_encrypted: false, guests: Guests::All };
pub(crate) const PASSWORDS: Face = Face { is_encrypted: false, guests: Guests::None };
pub(crate) const ACCOUNTS: Face = Face { is_encrypted: false, guests: Guests::Strangers };
pub(crate) const TLS: Face = Face { is_encrypted: true, guests: Guests::All };
pub(crate) const TLS_AND_PASSWORDS: Face = Face { is_encrypted: true, guests: Guests::None };
pub(crate) const TLS_AND_TOKENS: Face = Face { is_encrypted: true, guests: Guests::Pulling };
pub(crate) const TLS_AND_ACCOUNTS: Face = Face { is_encrypted: true, guests: Guests::Strangers };

/// Makes a test of a scenario for each face: `on_each_face!(crane_pushes)` gives `crane_pushes::openly` and so on.
macro_rules! on_each_face {
    ($scenario:ident) => {
        mod $scenario {
            use super::$scenario;
            use crate::clients::face;

            #[test]
            fn openly() {
                $scenario(face::OPEN);
            }

            #[test]
            fn with_passwords() {
                $scenario(face::PASSWORDS);
            }

            #[test]
            fn over_tls() {
                $scenario(face::TLS);
            }

            #[test]
            fn over_tls_with_passwords() {
                $scenario(face::TLS_AND_PASSWORDS);
            }

            #[test]
            fn over_tls_with_accounts() {
                $scenario(face::TLS_AND_ACCOUNTS);
            }
        }
    };
}
pub(crate) use on_each_face;
