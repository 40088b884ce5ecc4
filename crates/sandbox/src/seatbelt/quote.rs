//! Paths as string literals of a profile.

use std::path::{Component, Path};

use super::ProfileError;

/// The path as a literal, quotes included, that no path can break out of.
///
/// In a literal only `"` and `\` mean something. What could end a line or is
/// not text is refused: whether the language can spell it is not documented.
pub(super) fn quoted(path: &Path) -> Result<String, ProfileError> {
    let mut parts = path.components();
    let is_plain = parts.next() == Some(Component::RootDir)
        && parts.all(|part| matches!(part, Component::Normal(_)));
    let text = path.to_str().filter(|text| !text.chars().any(char::is_control));
    let Some(text) = text else {
        return Err(ProfileError::Unspeakable(path.into()));
    };
    // `Path` forgives doubled and trailing slashes; a rule's name must not have them.
    let is_exact = text == "/" || (!text.ends_with('/') && !text.contains("//"));
    if !is_plain || !is_exact || text.contains("/./") || text.ends_with("/.") {
        return Err(ProfileError::NotPlain(path.into()));
    }
    let mut literal = String::from("\"");
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            literal.push('\\');
        }
        literal.push(c);
    }
    literal.push('"');
    Ok(literal)
}
