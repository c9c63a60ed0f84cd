//! How texts of modules come in: a trait that the part with IO implements.

use profinfer_lang::ast::ImportPath;
use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::span::Span;

/// Finds and reads what imports ask for.
pub trait Loader {
    /// The file that `wanted` names in the file known by the key `from`.
    ///
    /// # Errors
    /// [`LoadError`]: there is none, or it cannot be had.
    fn load(&self, wanted: &ImportPath, from: &str) -> Result<Loaded, LoadError>;
}

/// A file that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The same for the same file, however it was asked for.
    pub key: String,
    /// The name shown in diagnostics.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Why nothing was imported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// There is no such file.
    #[error("there is none")]
    NotFound {
        /// Where it was looked for, in this order.
        tried: Vec<String>,
        /// A module that may have been meant.
        near: Option<String>,
    },
    /// Somebody else could have written it.
    #[error("{path} is not to be trusted: {why}")]
    Untrusted {
        /// The file or folder.
        path: String,
        /// Why.
        why: Distrust,
    },
    /// It is there and cannot be read.
    #[error("{path} cannot be read: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system says.
        reason: String,
    },
    /// It is no text.
    #[error("{path} is not text: its byte {at} is no UTF-8")]
    NotText {
        /// The file.
        path: String,
        /// The first byte that is none, from 0.
        at: usize,
    },
    /// It is larger than a script may be.
    #[error("{path} is larger than {most} bytes")]
    TooLarge {
        /// The file.
        path: String,
        /// The most a file may have.
        most: usize,
    },
    /// Imports lead to more files than a script may have.
    #[error("the script is made of more than {0} files")]
    TooMany(usize),
}

/// Why a file is not to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// Anybody can write to it.
    #[error("everybody may write to it")]
    WorldWritable,
    /// It belongs to somebody else: the user with this number.
    #[error("it belongs to user {0}, who is neither root nor you")]
    Owner(u32),
}

impl LoadError {
    /// The fault of an import of `wanted` at `span`.
    pub(super) fn told(&self, wanted: &str, span: Span) -> Diagnostic {
        match self {
            Self::NotFound { tried, near } => {
                let mut d = Diagnostic::error("PI0215", format!("there is no module `{wanted}`")).at(span, "not found");
                if let Some(near) = near {
                    d = d.help(format!("did you mean `{near}`?"));
                }
                if tried.is_empty() { d } else { d.help(format!("looked for {}", tried.join(", "))) }
            }
            Self::Untrusted { why, .. } => {
                let cure = match why {
                    Distrust::WorldWritable => "take the right away: chmod o-w",
                    Distrust::Owner(_) => "make it root's or your own: chown; or copy it to a folder of your own",
                };
                Diagnostic::error("PI0219", self.to_string())
                    .at(span, "not imported")
                    .help(format!("what is imported runs with your rights; {cure}"))
            }
            Self::Unreadable { .. } | Self::NotText { .. } | Self::TooLarge { .. } | Self::TooMany(_) => {
                Diagnostic::error("PI0220", self.to_string()).at(span, "not imported")
            }
        }
    }
}
