//! The colours of labels: few, warm, like printed paper. Each is a paper with an ink, a body, its shade, and a light.

pub struct Palette {
    pub paper: &'static str,
    pub ink: &'static str,
    pub body: &'static str,
    pub shade: &'static str,
    pub light: &'static str,
    pub spot: &'static str,
}

macro_rules! palette {
    ($paper:literal, $ink:literal, $body:literal, $shade:literal, $light:literal, $spot:literal) => {
        Palette {
            paper: concat!("oklch(", $paper, ")"),
            ink: concat!("oklch(", $ink, ")"),
            body: concat!("oklch(", $body, ")"),
            shade: concat!("oklch(", $shade, ")"),
            light: concat!("oklch(", $light, ")"),
            spot: concat!("oklch(", $spot, ")"),
        }
    };
}

const CLAY: Palette = palette!(".91 .03 60", ".36 .06 40", ".58 .11 42", ".5 .1 40", ".95 .02 80", ".78 .12 80");
const FOREST: Palette =
    palette!(".91 .03 150", ".34 .05 160", ".46 .07 160", ".39 .065 160", ".95 .02 120", ".75 .12 95");
const MILL: Palette =
    palette!(".91 .025 220", ".36 .06 230", ".52 .08 225", ".45 .08 228", ".96 .01 220", ".77 .11 70");
const OAT: Palette = palette!(".93 .025 90", ".38 .04 70", ".74 .06 80", ".66 .065 75", ".97 .015 95", ".55 .11 35");
const SLATE: Palette =
    palette!(".91 .008 250", ".33 .02 260", ".47 .025 255", ".4 .025 255", ".96 .005 250", ".72 .12 45");
const PLUM: Palette = palette!(".91 .025 350", ".36 .07 355", ".47 .09 358", ".4 .085 358", ".96 .012 20", ".76 .1 75");
const OCHRE: Palette = palette!(".93 .045 90", ".39 .06 60", ".72 .12 75", ".64 .115 68", ".97 .03 95", ".48 .07 180");
const ROSE: Palette = palette!(".93 .025 35", ".4 .08 25", ".66 .11 28", ".58 .11 26", ".97 .014 40", ".5 .06 200");

/// Words of a SKU that name a material or a taste have its colour.
const WORDS: &[(&str, &Palette)] = &[
    ("FOREST", &FOREST),
    ("SAND", &OAT),
    ("ENAMEL", &MILL),
    ("STONE", &SLATE),
    ("IRON", &SLATE),
    ("STEEL", &MILL),
    ("OAK", &CLAY),
    ("WALNUT", &CLAY),
    ("MAPLE", &OCHRE),
    ("OLIVE", &FOREST),
    ("SENCHA", &FOREST),
    ("MATCHA", &FOREST),
    ("MINT", &FOREST),
    ("ROOIBOS", &ROSE),
    ("HONEY", &OCHRE),
    ("PLUM", &PLUM),
    ("KENYA", &PLUM),
    ("ETHIOPIA", &ROSE),
    ("SUMATRA", &FOREST),
    ("COLOMBIA", &OCHRE),
    ("ESPRESSO", &SLATE),
    ("DECAF", &MILL),
    ("HOUSE", &CLAY),
    ("DUTCH", &ROSE),
    ("POUROVER", &MILL),
];

impl Palette {
    /// Products of a category share a family; a word of the SKU, else its hash, picks one.
    pub fn of(sku: &str, category: &str, seed: u64) -> &'static Palette {
        if let Some((_, palette)) = WORDS.iter().find(|(word, _)| sku.contains(word)) {
            return palette;
        }
        let family: [&Palette; 4] = match category {
            "Coffee" | "Coffee Beans" => [&CLAY, &FOREST, &PLUM, &OCHRE],
            "Brewing" => [&MILL, &OAT, &SLATE, &ROSE],
            "Grinders & Scales" => [&SLATE, &OAT, &MILL, &CLAY],
            "Tea" => [&FOREST, &OCHRE, &OAT, &PLUM],
            "Cookware" => [&SLATE, &ROSE, &MILL, &FOREST],
            "Bakeware" => [&OAT, &ROSE, &OCHRE, &MILL],
            "Knives & Boards" => [&SLATE, &CLAY, &FOREST, &MILL],
            "Storage" => [&MILL, &OCHRE, &FOREST, &ROSE],
            "Mugs & Cups" => [&OAT, &MILL, &CLAY, &PLUM],
            "Plates & Bowls" => [&MILL, &OAT, &ROSE, &FOREST],
            "Linen" => [&ROSE, &MILL, &OCHRE, &SLATE],
            "Pantry" => [&OCHRE, &PLUM, &FOREST, &CLAY],
            _ => [&CLAY, &MILL, &FOREST, &OCHRE],
        };
        family[usize::try_from(seed >> 13 & 3).expect("two bits")]
    }
}
