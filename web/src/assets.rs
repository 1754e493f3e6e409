//! The stylesheet, the scripts and the font. They are inside the binary; a debug build reads them from the disk.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "src/assets"]
struct Embedded;

/// Changes with every change of a file, so that browsers may keep files for ever.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = DefaultHasher::new();
    for name in Embedded::iter() {
        Embedded::get(&name).map(|file| file.data.into_owned()).hash(&mut hasher);
    }
    format!("{:012x}", hasher.finish() & 0xffff_ffff_ffff)
});

/// The route of all files.
pub const ROUTE: &str = "/assets/{version}/{file}";

pub struct AssetFile {
    pub kind: &'static str,
    pub bytes: Vec<u8>,
}

/// The file of this name.
pub fn file(name: &str) -> Option<AssetFile> {
    let kind = match name.rsplit('.').next()? {
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "woff2" => "font/woff2",
        "svg" => "image/svg+xml",
        _ => return None,
    };
    Some(AssetFile { kind, bytes: Embedded::get(name)?.data.into_owned() })
}

pub fn version() -> &'static str {
    &VERSION
}

/// The address of a file in a page.
pub fn url(name: &str) -> String {
    format!("/assets/{}/{name}", version())
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_file_has_a_type() {
        for name in super::Embedded::iter() {
            assert!(super::file(&name).is_some(), "{name}");
        }
    }
}
