//! The shapes of the motifs, on a field of 320 by 320 whose ground is at 270.

use super::part::Paint::{Body, Ink, Light, Shade, Spot};
use super::part::Part;

pub const BAG: &[Part] = &[
    Part(Body, 0, "M104 92h112l8 178H96Z"),
    Part(Shade, 0, "M188 92h28l8 178h-32Z"),
    Part(Shade, 0, "M102 76h116v22H102Z"),
    Part(Ink, 2, "M110 87h100"),
    Part(Light, 0, "M114 148h92v86h-92Z"),
    Part(Ink, 3, "M126 224h68"),
];
pub const TIN: &[Part] = &[
    Part(Body, 0, "M98 122h124v140a8 8 0 0 1-8 8H106a8 8 0 0 1-8-8Z"),
    Part(Shade, 0, "M194 122h28v140a8 8 0 0 1-8 8h-20Z"),
    Part(Shade, 0, "M94 92h132a6 6 0 0 1 6 6v20a6 6 0 0 1-6 6H94a6 6 0 0 1-6-6V98a6 6 0 0 1 6-6Z"),
    Part(Spot, 0, "M146 78h28v14h-28Z"),
    Part(Light, 0, "M98 150h124v88H98Z"),
    Part(Ink, 2, "M98 158h124M98 230h124"),
];
pub const CARTON: &[Part] = &[
    Part(Body, 0, "M92 110h100v160H92Z"),
    Part(Shade, 0, "M192 110l36-16v160l-36 16Z"),
    Part(Spot, 0, "M92 110l36-16h100l-36 16Z"),
    Part(Light, 0, "M104 150h76v76h-76Z"),
];
pub const DRIPPER: &[Part] = &[
    Part(Light, 0, "M96 96h128l-12 26H108Z"),
    Part(Body, 0, "M88 106h144l-46 82h-52Z"),
    Part(Shade, 0, "M198 106h34l-46 82h-16Z"),
    Part(Body, 10, "M222 126c30-4 30 40-8 36"),
    Part(Shade, 0, "M104 188h112v12H104Z"),
    Part(Light, 0, "M122 200h76l16 54a12 12 0 0 1-12 16h-84a12 12 0 0 1-12-16Z"),
    Part(Spot, 0, "M114 232h92l7 22a12 12 0 0 1-11 16h-84a12 12 0 0 1-11-16Z"),
];
pub const JUG: &[Part] = &[
    Part(Light, 0, "M116 96h84l20 150a22 22 0 0 1-22 24h-80a22 22 0 0 1-22-24Z"),
    Part(Spot, 0, "M105 176h105l10 70a22 22 0 0 1-22 24h-80a22 22 0 0 1-22-24Z"),
    Part(Body, 0, "M108 80h104l-6 24h-92l-18-14Z"),
    Part(Body, 12, "M210 120c52 0 44 90 8 96"),
    Part(Light, 4, "M122 200l-4 46"),
];
pub const PRESS: &[Part] = &[
    Part(Ink, 4, "M160 66v40"),
    Part(Spot, 0, "M160 52a11 11 0 1 1 0 22 11 11 0 0 1 0-22Z"),
    Part(Light, 0, "M112 112h96v158h-96Z"),
    Part(Body, 0, "M112 176h96v94h-96Z"),
    Part(Ink, 5, "M118 176h84"),
    Part(Shade, 0, "M180 176h28v94h-28Z"),
    Part(Shade, 0, "M106 96h108a6 6 0 0 1 0 18H100Z"),
    Part(Shade, 6, "M112 114v154M208 114v154M112 238h96"),
    Part(Ink, 11, "M212 134h26v92h-26"),
];
pub const MOKA: &[Part] = &[
    Part(Ink, 11, "M206 118h38l-8 60"),
    Part(Body, 0, "M118 104h84l12 74H106Z"),
    Part(Shade, 0, "M176 104h26l12 74h-30Z"),
    Part(Light, 0, "M118 104l-26 8 20 24Z"),
    Part(Shade, 0, "M114 104l46-26 46 26Z"),
    Part(Spot, 0, "M154 64h12v16h-12Z"),
    Part(Ink, 0, "M112 178h96v10h-96Z"),
    Part(Body, 0, "M110 188h100l14 82H96Z"),
    Part(Shade, 0, "M180 188h30l14 82h-34Z"),
    Part(Spot, 0, "M132 214a8 8 0 1 1 0 16 8 8 0 0 1 0-16Z"),
];
pub const KETTLE: &[Part] = &[
    Part(Body, 10, "M112 238C72 236 92 148 58 136"),
    Part(Ink, 12, "M204 158c60-22 70 56 16 82"),
    Part(Body, 0, "M112 146h90l24 112a10 10 0 0 1-10 12H100a10 10 0 0 1-10-12Z"),
    Part(Shade, 0, "M178 146h24l24 112a10 10 0 0 1-10 12h-24Z"),
    Part(Shade, 0, "M112 146a45 24 0 0 1 90 0Z"),
    Part(Spot, 0, "M157 104a10 10 0 1 1 0 20 10 10 0 0 1 0-20Z"),
    Part(Light, 4, "M112 176l-10 60"),
];
pub const SCALE: &[Part] = &[
    Part(Spot, 0, "M124 132h72v70h-72Z"),
    Part(Light, 0, "M118 122h84v14h-84Z"),
    Part(Shade, 0, "M84 202h152v14H84Z"),
    Part(Body, 0, "M72 216h176a10 10 0 0 1 10 10v34a10 10 0 0 1-10 10H72a10 10 0 0 1-10-10v-34a10 10 0 0 1 10-10Z"),
    Part(Ink, 0, "M118 228h84v28h-84Z"),
    Part(Light, 4, "M130 236h10v12h-10ZM150 248v.1M160 236h10v12h-10Z"),
];
pub const GRINDER: &[Part] = &[
    Part(Ink, 7, "M160 106V84h74"),
    Part(Spot, 0, "M236 62a13 13 0 0 1 13 13v18a13 13 0 0 1-26 0V75a13 13 0 0 1 13-13Z"),
    Part(Body, 0, "M120 106h80v156a8 8 0 0 1-8 8h-64a8 8 0 0 1-8-8Z"),
    Part(Shade, 0, "M174 106h26v156a8 8 0 0 1-8 8h-18Z"),
    Part(Light, 0, "M120 148h80v10h-80ZM120 210h80v6h-80Z"),
    Part(Ink, 0, "M114 98h92v12h-92Z"),
];
pub const TEAPOT: &[Part] = &[
    Part(Body, 18, "M104 218c-34 0-30-50-58-58"),
    Part(Shade, 13, "M218 178c48-16 50 62 4 60"),
    Part(Body, 0, "M160 144c48 0 74 30 74 62s-24 64-74 64-74-32-74-64 26-62 74-62Z"),
    Part(Shade, 0, "M176 146c40 6 58 32 58 60s-20 60-64 64c44-24 44-96 6-124Z"),
    Part(Light, 0, "M118 148a42 22 0 0 1 84 0Z"),
    Part(Spot, 0, "M160 104a11 11 0 1 1 0 22 11 11 0 0 1 0-22Z"),
    Part(Ink, 5, "M96 150c10-76 118-76 128 0"),
];
pub const PAN: &[Part] = &[
    Part(Ink, 20, "M196 142l58-52"),
    Part(Light, 4, "M246 97l6-6"),
    Part(Shade, 0, "M144 102a84 84 0 1 1 0 168 84 84 0 0 1 0-168Z"),
    Part(Body, 0, "M144 114a72 72 0 1 1 0 144 72 72 0 0 1 0-144Z"),
    Part(Light, 0, "M136 146c26-8 56 6 54 36s-34 50-62 40-26-30-24-44 12-26 32-32Z"),
    Part(Spot, 0, "M146 166a18 18 0 1 1 0 36 18 18 0 0 1 0-36Z"),
];
pub const POT: &[Part] = &[
    Part(Shade, 12, "M84 176H62v22h22M236 176h22v22h-22"),
    Part(Body, 0, "M80 158h160v82a30 30 0 0 1-30 30H110a30 30 0 0 1-30-30Z"),
    Part(Shade, 0, "M198 158h42v82a30 30 0 0 1-30 30h-12Z"),
    Part(Body, 0, "M84 144c4-28 36-40 76-40s72 12 76 40Z"),
    Part(Shade, 0, "M192 108c26 6 42 18 44 36h-40Z"),
    Part(Light, 0, "M76 144h168v14H76Z"),
    Part(Spot, 0, "M146 88h28v16h-28Z"),
];
pub const TOOLS: &[Part] = &[
    Part(Body, 10, "M110 150v116"),
    Part(Body, 0, "M110 74c22 0 28 24 28 44s-12 36-28 36-28-16-28-36 6-44 28-44Z"),
    Part(Shade, 10, "M164 150v116"),
    Part(Shade, 0, "M144 78h40l4 70h-48Z"),
    Part(Light, 4, "M156 92v40M172 92v40"),
    Part(Ink, 9, "M218 170v96"),
    Part(Ink, 3, "M218 74c-30 22-30 70 0 98 30-28 30-76 0-98ZM218 74v98M218 74c-14 28-14 66 0 98 14-32 14-70 0-98Z"),
];
pub const PIN: &[Part] = &[
    Part(Light, 0, "M70 214c20-26 160-34 188-2 10 30-20 52-84 52s-118-18-104-50Z"),
    Part(Ink, 12, "M70 226l30-22M220 116l30-22"),
    Part(Body, 34, "M112 196l96-70"),
    Part(Shade, 8, "M120 206l96-70"),
];
pub const TRAY: &[Part] = &[
    Part(Shade, 0, "M76 92h168a14 14 0 0 1 14 14v150a14 14 0 0 1-14 14H76a14 14 0 0 1-14-14V106a14 14 0 0 1 14-14Z"),
    Part(Body, 0, "M84 104h152a10 10 0 0 1 10 10v134a10 10 0 0 1-10 10H84a10 10 0 0 1-10-10V114a10 10 0 0 1 10-10Z"),
    Part(
        Spot,
        0,
        "M110 122a19 19 0 1 1 0 38 19 19 0 0 1 0-38ZM160 122a19 19 0 1 1 0 38 19 19 0 0 1 0-38ZM210 122a19 19 0 1 1 0 38 19 19 0 0 1 0-38ZM110 200a19 19 0 1 1 0 38 19 19 0 0 1 0-38ZM160 200a19 19 0 1 1 0 38 19 19 0 0 1 0-38ZM210 200a19 19 0 1 1 0 38 19 19 0 0 1 0-38Z",
    ),
    Part(Light, 3, "M102 136l8-6M152 136l8-6M202 136l8-6M102 214l8-6M152 214l8-6M202 214l8-6"),
];
pub const SCRAPER: &[Part] = &[
    Part(Light, 0, "M84 150h152v112a8 8 0 0 1-8 8H92a8 8 0 0 1-8-8Z"),
    Part(Shade, 0, "M196 150h40v112a8 8 0 0 1-8 8h-32Z"),
    Part(Body, 0, "M90 108h140a16 16 0 0 1 16 16v22a14 14 0 0 1-14 14H88a14 14 0 0 1-14-14v-22a16 16 0 0 1 16-16Z"),
    Part(Spot, 0, "M102 124a6 6 0 1 1 0 12 6 6 0 0 1 0-12ZM218 124a6 6 0 1 1 0 12 6 6 0 0 1 0-12Z"),
    Part(Ink, 2, "M104 254v8M124 258v4M144 254v8M164 258v4M184 254v8"),
];
pub const LOAF: &[Part] = &[
    Part(Spot, 0, "M84 196c-22-30-4-76 42-66 20-22 62-22 80 0 44-8 54 40 30 66Z"),
    Part(Light, 6, "M118 152l18 26M156 142l16 32M196 150l12 24"),
    Part(Body, 0, "M70 192h180l-20 72a8 8 0 0 1-8 6H98a8 8 0 0 1-8-6Z"),
    Part(Shade, 0, "M206 192h44l-20 72a8 8 0 0 1-8 6h-26Z"),
    Part(Shade, 0, "M64 186h192v12H64Z"),
];
pub const BOWL: &[Part] = &[
    Part(Spot, 0, "M92 156c6-30 34-44 68-44s62 14 68 44Z"),
    Part(Body, 0, "M66 152h188c0 66-38 112-94 112s-94-46-94-112Z"),
    Part(Shade, 0, "M206 152h48c0 66-38 112-94 112 34-22 46-60 46-112Z"),
    Part(Shade, 0, "M128 258h64v12h-64Z"),
    Part(Light, 7, "M70 172h180"),
];
pub const PLATE: &[Part] = &[
    Part(Shade, 0, "M160 84a94 94 0 1 1 0 188 94 94 0 0 1 0-188Z"),
    Part(Body, 0, "M158 84a92 92 0 1 1 0 184 92 92 0 0 1 0-184Z"),
    Part(Light, 0, "M158 112a64 64 0 1 1 0 128 64 64 0 0 1 0-128Z"),
    Part(Spot, 3, "M158 122a54 54 0 1 1 0 108 54 54 0 0 1 0-108Z"),
    Part(
        Shade,
        0,
        "M132 160a3 3 0 1 1 0 6 3 3 0 0 1 0-6ZM176 148a4 4 0 1 1 0 8 4 4 0 0 1 0-8ZM188 188a3 3 0 1 1 0 6 3 3 0 0 1 0-6ZM146 200a4 4 0 1 1 0 8 4 4 0 0 1 0-8Z",
    ),
];
pub const KNIFE: &[Part] = &[
    Part(Spot, 0, "M76 92h168a10 10 0 0 1 10 10v158a10 10 0 0 1-10 10H76a10 10 0 0 1-10-10V102a10 10 0 0 1 10-10Z"),
    Part(Light, 0, "M92 202C150 184 190 148 212 114l14 14c-18 44-72 88-126 92Z"),
    Part(Shade, 0, "M212 114l14 14 22-22-14-14Z"),
    Part(Ink, 17, "M236 104l34-34"),
    Part(Shade, 3, "M100 212c54-6 96-36 118-78"),
];
pub const BOARD: &[Part] = &[
    Part(
        Body,
        0,
        "M146 60h28a8 8 0 0 1 8 8v40h34a14 14 0 0 1 14 14v134a14 14 0 0 1-14 14H104a14 14 0 0 1-14-14V122a14 14 0 0 1 14-14h34V68a8 8 0 0 1 8-8Z",
    ),
    Part(Shade, 0, "M125 108h35v162h-35ZM195 108h21a14 14 0 0 1 14 14v134a14 14 0 0 1-14 14h-21Z"),
    Part(Light, 0, "M160 72a9 9 0 1 1 0 18 9 9 0 0 1 0-18Z"),
    Part(Spot, 0, "M142 176c26-12 50 8 40 32s-46 28-54 8 0-34 14-40Z"),
];
pub const JAR: &[Part] = &[
    Part(Light, 0, "M104 128h112a8 8 0 0 1 8 8v112a22 22 0 0 1-22 22h-84a22 22 0 0 1-22-22V136a8 8 0 0 1 8-8Z"),
    Part(Spot, 0, "M96 168h128v80a22 22 0 0 1-22 22h-84a22 22 0 0 1-22-22Z"),
    Part(Body, 0, "M104 92h112a6 6 0 0 1 6 6v24H98V98a6 6 0 0 1 6-6Z"),
    Part(Shade, 0, "M186 92h30a6 6 0 0 1 6 6v24h-36Z"),
    Part(Ink, 3, "M98 126h124"),
    Part(Light, 0, "M118 190h84v52h-84Z"),
    Part(Ink, 3, "M130 208h60M130 222h38"),
];
pub const CHEST: &[Part] = &[
    Part(Body, 0, "M70 170h180v90a10 10 0 0 1-10 10H80a10 10 0 0 1-10-10Z"),
    Part(Shade, 0, "M204 170h46v90a10 10 0 0 1-10 10h-36Z"),
    Part(Light, 0, "M64 136a12 12 0 0 1 12-12h168a12 12 0 0 1 12 12v34H64Z"),
    Part(Spot, 0, "M136 108h48v16h-48ZM148 186h24v10h-24Z"),
];
pub const MUG: &[Part] = &[
    Part(Body, 16, "M206 148h12a28 28 0 0 1 28 28v6a28 28 0 0 1-28 28h-14"),
    Part(Body, 0, "M88 112h122v118a40 40 0 0 1-40 40h-42a40 40 0 0 1-40-40Z"),
    Part(Shade, 0, "M172 112h38v118a40 40 0 0 1-40 40h-18c14-8 20-22 20-40Z"),
    Part(Light, 0, "M88 106h122v16H88Z"),
    Part(
        Shade,
        0,
        "M112 150a4 4 0 1 1 0 8 4 4 0 0 1 0-8ZM134 184a3 3 0 1 1 0 6 3 3 0 0 1 0-6ZM110 214a4 4 0 1 1 0 8 4 4 0 0 1 0-8ZM148 228a3 3 0 1 1 0 6 3 3 0 0 1 0-6ZM146 140a3 3 0 1 1 0 6 3 3 0 0 1 0-6Z",
    ),
    Part(Light, 5, "M126 92c-9-12 9-18 0-30M164 92c-9-12 9-18 0-30"),
];
pub const CUPS: &[Part] = &[
    Part(Spot, 9, "M238 160c24-2 24 36-8 36"),
    Part(Spot, 0, "M150 138h92v40a42 42 0 0 1-42 42h-8a42 42 0 0 1-42-42Z"),
    Part(Light, 0, "M150 134h92v10h-92Z"),
    Part(Ink, 0, "M140 220h112v7H140Z"),
    Part(Body, 10, "M166 204c28-2 28 40-10 40"),
    Part(Body, 0, "M74 180h96v46a44 44 0 0 1-44 44h-8a44 44 0 0 1-44-44Z"),
    Part(Shade, 0, "M140 180h30v46a44 44 0 0 1-44 44c12-10 14-26 14-44Z"),
    Part(Light, 0, "M74 176h96v11H74Z"),
];
pub const TOWEL: &[Part] = &[
    Part(Ink, 7, "M66 84h188"),
    Part(Light, 0, "M92 80h136v186H92Z"),
    Part(Body, 0, "M108 88h14v178h-14ZM128 88h5v178h-5Z"),
    Part(Spot, 0, "M92 214h136v12H92ZM92 232h136v5H92Z"),
    Part(Shade, 0, "M174 80h54v160h-54Z"),
    Part(Body, 0, "M188 88h10v152h-10ZM204 88h4v152h-4Z"),
    Part(Light, 3, "M178 228h46"),
];
pub const BOTTLE: &[Part] = &[
    Part(Ink, 0, "M142 62h36v26h-36Z"),
    Part(Body, 0, "M144 88h32v30c28 12 38 32 38 56v84a12 12 0 0 1-12 12h-84a12 12 0 0 1-12-12v-84c0-24 10-44 38-56Z"),
    Part(Shade, 0, "M166 88h10v30c28 12 38 32 38 56v84a12 12 0 0 1-12 12h-18v-96c0-26-6-44-18-58Z"),
    Part(Light, 0, "M106 176h108v66H106Z"),
    Part(Spot, 0, "M160 186c20 10 20 34 0 44-20-10-20-34 0-44Z"),
];
pub const FLASK: &[Part] = &[
    Part(Shade, 0, "M132 62h56a6 6 0 0 1 6 6v42h-68V68a6 6 0 0 1 6-6Z"),
    Part(Body, 0, "M118 114h84a6 6 0 0 1 6 6v138a12 12 0 0 1-12 12h-72a12 12 0 0 1-12-12V120a6 6 0 0 1 6-6Z"),
    Part(Shade, 0, "M180 114h22a6 6 0 0 1 6 6v138a12 12 0 0 1-12 12h-16Z"),
    Part(Spot, 0, "M112 146h96v18h-96Z"),
    Part(Light, 5, "M126 182v62"),
];
pub const BASKET: &[Part] = &[
    Part(Shade, 10, "M92 176c0-110 136-110 136 0"),
    Part(Light, 0, "M88 150l40-22 34 20 36-24 34 30v22H88Z"),
    Part(Body, 0, "M64 172h192l-18 90a10 10 0 0 1-10 8H92a10 10 0 0 1-10-8Z"),
    Part(Shade, 4, "M74 200h172M78 224h164M84 248h152M112 176l10 90M160 176v92M208 176l-10 90"),
    Part(Spot, 0, "M60 164h200v14H60Z"),
];
