//! Published designs and the constants of the technology, as the texts of their files.

macro_rules! bundled {
    ($($file:literal),* $(,)?) => {
        [$(($file, include_str!(concat!("../../data/designs/", $file)))),*]
    };
}

/// File name and text of each.
const BUNDLED: [(&str, &str); 6] = bundled![
    "edge_tpu_v1.toml",
    "edge_tpu_v2.toml",
    "edge_tpu_v3.toml",
    "coral.toml",
    "prime_nine_apps.toml",
    "evolutionary_nine_apps.toml",
];

/// File name and text of each published design that ships with the crate.
pub fn bundled_designs() -> impl Iterator<Item = (&'static str, &'static str)> {
    BUNDLED.into_iter()
}

/// The text of `technology.toml` as it ships with the crate.
#[must_use]
pub fn bundled_technology() -> &'static str {
    include_str!("../../data/technology.toml")
}
