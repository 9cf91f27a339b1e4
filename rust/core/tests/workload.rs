//! The workload module: bundled applications against published figures, liveness, errors.

use prime_fast_core::Error;
use prime_fast_core::workload::{Application, Layer, LayerKind, Producer, bundled_names, prime_names};

/// MACs, parameter bytes, input bytes, output bytes, vector operations.
fn counts_of(layer: &Layer) -> [u64; 5] {
    [
        layer.macs(),
        layer.parameter_bytes(),
        layer.input_bytes(),
        layer.output_bytes(),
        layer.vector_operations(),
    ]
}

/// One row of a published table.
struct Published {
    name: &'static str,
    /// Conv, depthwise and feed-forward layers.
    layers: [usize; 3],
    /// Parameters at int8, in units of 2^20 bytes.
    parameter_mib: f64,
    /// Arithmetic operations, two a multiply-accumulate and some for what is none.
    operations: f64,
}

/// The applications as the PRIME paper counts them (Kumar et al. 2022, arXiv 2110.11346).
const PUBLISHED: [Published; 9] = [
    published("MobileNetEdgeTPU", [45, 13, 1], 3.87, 1_989_811_168.0),
    published("MobileNetV2", [35, 17, 1], 3.31, 609_353_376.0),
    published("MobileNetV3", [32, 15, 17], 5.20, 449_219_600.0),
    published("M4", [32, 13, 2], 6.23, 3_471_920_128.0),
    published("M5", [47, 27, 0], 2.16, 939_752_960.0),
    published("M6", [53, 33, 2], 0.41, 228_146_848.0),
    published("U-Net", [35, 0, 0], 3.69, 13_707_214_848.0),
    published("t-RNN Dec", [0, 0, 19], 19.0, 40_116_224.0),
    published("t-RNN Enc", [0, 0, 18], 21.62, 45_621_248.0),
];

const fn published(name: &'static str, layers: [usize; 3], parameter_mib: f64, operations: f64) -> Published {
    Published { name, layers, parameter_mib, operations }
}

fn deviation(ours: f64, theirs: f64) -> f64 {
    (ours / theirs - 1.0).abs()
}

#[test]
fn the_papers_applications_agree_with_its_table() {
    assert!(prime_names().eq(PUBLISHED.iter().map(|row| row.name)));
    for row in PUBLISHED {
        let application = Application::bundled(row.name).unwrap();
        let totals = application.totals();
        let exact = row.name.starts_with("MobileNet");
        assert_eq!(application.name, row.name);
        assert_eq!(application.stand_in, ["M4", "M5", "M6"].contains(&row.name));
        let layers = [totals.conv_layers, totals.depthwise_layers, totals.feed_forward_layers];
        for (ours, theirs) in layers.into_iter().zip(row.layers) {
            let tolerance = if exact { 0.0 } else { 0.15 * theirs as f64 };
            assert!((ours as f64 - theirs as f64).abs() <= tolerance, "{}: {layers:?}", row.name);
        }
        let parameter_mib = totals.parameter_bytes as f64 / f64::from(1 << 20);
        assert!(
            deviation(parameter_mib, row.parameter_mib) <= if exact { 0.002 } else { 0.15 },
            "{}: {parameter_mib} MiB",
            row.name
        );
        // The table also counts what is no MAC: biases, pools, hard-swish (3.6% of MobileNetV3's).
        let operations = 2.0 * totals.macs as f64;
        assert!(
            deviation(operations, row.operations) <= if exact { 0.04 } else { 0.15 },
            "{}: {operations} operations",
            row.name
        );
    }
}

/// Multiply-accumulates of the public definitions at 224 x 224.
#[test]
fn mobilenets_have_the_macs_of_their_public_definitions() {
    for (name, macs) in [("MobileNetEdgeTPU", 990.7e6), ("MobileNetV2", 300.8e6), ("MobileNetV3", 216.6e6)] {
        let ours = Application::bundled(name).unwrap().totals().macs as f64;
        assert!(deviation(ours, macs) <= 0.01, "{name}: {ours}");
    }
}

/// A public network as others count it.
struct Public {
    name: &'static str,
    /// Parameters with 1000 classes, biases and batch normalisation included.
    parameters: u64,
    /// Whether scale and shift of a batch normalisation take the place of the convolutions' biases.
    normalised: bool,
    /// Whether the logits have a background class besides.
    background: bool,
    /// Multiply-accumulates.
    macs: f64,
    tolerance: f64,
}

/// The applications that are not in the PRIME paper.
// Parameters are those of pytorch.org's table of models (SqueezeNet 1.0, GoogLeNet, ResNet-18, ResNet-50,
// VGG16) and of osmr/imgclsmob (MobileNet x1.0, EfficientNet-Edge-Small-b). MACs are those of the first
// table, in steps of 10 M, but for three: MobileNetV1's are its paper's; ResNet-50's and EfficientNet's are
// the second table's, which counts activations too. The first table has the ResNet-50 whose strides are in
// the 3 x 3 convolutions. What is published for 224 x 224 is scaled to 299 x 299, where odd sizes besides are
// rounded up.
const PUBLIC: [Public; 7] = [
    public("MobileNetV1", 4_231_976, true, true, 569e6, 0.001),
    public("SqueezeNet", 1_248_424, false, false, 0.82e9, 0.007),
    public("Inception v1", 6_624_904, true, true, 1.50e9, 0.004),
    public("ResNet-18", 11_689_512, true, false, 1.81e9, 0.003),
    public("ResNet-50", 25_557_032, true, false, 3_877.95e6 * (299.0 * 299.0) / (224.0 * 224.0), 0.06),
    public("VGG16", 138_357_544, false, false, 15.47e9, 0.001),
    public("EfficientNet-EdgeTPU-S", 5_438_392, true, true, 2_378.12e6, 0.015),
];

const fn public(
    name: &'static str,
    parameters: u64,
    normalised: bool,
    background: bool,
    macs: f64,
    tolerance: f64,
) -> Public {
    Public { name, parameters, normalised, background, macs, tolerance }
}

#[test]
fn the_other_applications_agree_with_published_counts() {
    assert!(bundled_names().eq(prime_names().chain(PUBLIC.iter().map(|row| row.name))));
    for row in PUBLIC {
        let application = Application::bundled(row.name).unwrap();
        let totals = application.totals();
        assert_eq!(application.name, row.name);
        assert!(!application.stand_in);
        let last = application.layers().last().unwrap();
        assert_eq!(last.output, [1, 1, 1000 + u32::from(row.background)], "{}", row.name);
        // Exact once what the files leave out is added, and the background class is taken away.
        let weighted = application.layers().iter().filter(|layer| layer.kind.has_weights());
        let left_out: u64 = weighted
            .map(|layer| {
                let vectors = if row.normalised && layer.kind != LayerKind::Dense { 2 } else { 1 };
                vectors * u64::from(layer.output[2])
            })
            .sum();
        let background = if row.background { u64::from(last.input[2]) + 1 } else { 0 };
        assert_eq!(totals.parameter_bytes + left_out - background, row.parameters, "{}", row.name);
        let macs = totals.macs as f64;
        assert!(deviation(macs, row.macs) <= row.tolerance, "{}: {macs} MACs", row.name);
    }
}

#[test]
fn bundled_layers_are_wired_and_counted() {
    for name in bundled_names() {
        let application = Application::bundled(name).unwrap();
        let layers = application.layers();
        assert_eq!(application.live_bytes().len(), layers.len());
        for layer in layers {
            assert_eq!(layer.kind.has_weights(), layer.macs() > 0, "{name}: {}", layer.name);
            assert_eq!(layer.kind.has_weights(), layer.parameter_bytes() > 0, "{name}: {}", layer.name);
            assert_eq!(layer.kind.has_weights(), layer.vector_operations() == 0, "{name}: {}", layer.name);
        }
        let recurrent = layers.iter().filter(|layer| layer.kind == LayerKind::Recurrent).count();
        assert_eq!(recurrent, if name.starts_with("t-RNN") { 18 } else { 0 }, "{name}");
    }
}

#[test]
fn bundled_names_ignore_case_and_unknown_ones_are_explained() {
    assert_eq!(Application::bundled("u-net").unwrap().name, "U-Net");
    let message = Application::bundled("MobilNetV2").unwrap_err().to_string();
    assert!(message.contains("\"MobilNetV2\" (did you mean MobileNetV2?)"), "{message}");
    assert!(bundled_names().all(|name| message.contains(name)), "{message}");
}

/// One layer of an application file; `more` holds further keys.
fn layer(name: &str, kind: &str, input: [i64; 3], output: [i64; 3], more: &str) -> String {
    let comma = if more.is_empty() { "" } else { ", " };
    format!("name = {name:?}, kind = {kind:?}, input = {input:?}, output = {output:?}{comma}{more}")
}

/// An application file of these layers.
fn file(input: &str, layers: &[String]) -> String {
    let layers: String = layers.iter().flat_map(|layer| ["  { ", layer, " },\n"]).collect();
    format!("name = \"n\"\ntitle = \"t\"\nsource = \"s\"\ninput = {input}\nlayer = [\n{layers}]\n")
}

const SQUARE: [i64; 3] = [4, 4, 16];

fn stem(more: &str) -> String {
    layer("stem", "conv", [8, 8, 3], SQUARE, &format!("kernel = [3, 3], stride = [2, 2]{more}"))
}

/// A residual block with squeeze-and-excite, a concatenation with the stem, an upscaling, one with the input.
fn graph() -> String {
    file(
        "[8, 8, 3]",
        &[
            stem(""),
            layer("dw", "depthwise", SQUARE, SQUARE, "kernel = [3, 3]"),
            layer("squeeze", "pool", SQUARE, [1, 1, 16], "kernel = [4, 4]"),
            layer("excite", "dense", [1, 1, 16], [1, 1, 16], ""),
            layer("scale", "elementwise", SQUARE, SQUARE, r#"inputs = ["dw", "excite"]"#),
            layer("add", "elementwise", SQUARE, SQUARE, r#"inputs = ["scale", "stem"]"#),
            layer("grouped", "conv", [4, 4, 32], [4, 4, 8], r#"groups = 4, inputs = ["add", "stem"]"#),
            layer("up", "transposed_conv", [4, 4, 8], [8, 8, 5], "kernel = [3, 3], stride = [2, 2]"),
            layer("logits", "dense", [8, 8, 8], [1, 1, 10], r#"inputs = ["up", "input"]"#),
        ],
    )
}

#[test]
fn tensors_live_from_their_producer_to_their_last_reader() {
    let graph = Application::from_toml(&graph(), "graph.toml").unwrap();
    // In bytes: the input 192, the stem's and dw's outputs 256 each.
    let expected = [
        0,               // stem reads the input
        192,             // dw reads the stem; the input waits for the logits
        192 + 256,       // squeeze reads dw; the stem waits for the addition
        192 + 256 + 256, // excite reads what squeeze made; dw waits for the scale
        192 + 256,       // scale reads dw and the gate
        192,             // add reads the scaled tensor and the stem
        192,             // grouped reads the stem for the last time
        192,             // up
        0,               // logits reads the input
    ];
    assert_eq!(graph.live_bytes(), expected);
}

#[test]
fn work_and_bytes_follow_from_the_shapes() {
    let graph = Application::from_toml(&graph(), "graph.toml").unwrap();
    let expected = [
        ("stem", [6912, 432, 192, 256, 0]),
        ("dw", [2304, 144, 256, 256, 0]),
        ("squeeze", [0, 0, 256, 16, 256]),
        ("excite", [256, 256, 16, 16, 0]),
        ("scale", [0, 0, 272, 256, 512]),
        ("add", [0, 0, 512, 256, 512]),
        ("grouped", [1024, 64, 512, 128, 0]),
        ("up", [5760, 360, 128, 320, 0]),
        ("logits", [5120, 5120, 512, 10, 0]),
    ];
    assert_eq!(graph.layers().len(), expected.len());
    for (layer, (name, counts)) in graph.layers().iter().zip(expected) {
        assert_eq!((layer.name.as_str(), counts_of(layer)), (name, counts));
    }
    assert_eq!(graph.layers()[8].producers, [Producer::Layer(7), Producer::Input]);
    let totals = graph.totals();
    assert_eq!((totals.conv_layers, totals.depthwise_layers, totals.feed_forward_layers), (3, 1, 2));
    assert_eq!(totals.macs, 6912 + 2304 + 256 + 1024 + 5760 + 5120);
    assert_eq!(totals.parameter_bytes, 432 + 144 + 256 + 64 + 360 + 5120);
    assert_eq!(totals.vector_operations, 256 + 512 + 512);
}

#[test]
fn every_kind_and_attribute_is_counted() {
    let mixed = Application::from_toml(include_str!("mixed.toml"), "mixed.toml").unwrap();
    let expected = [
        ("stem", [144 * 9 * 2 * 48, 9 * 2 * 48, 3456, 6912, 0]),
        ("dilated", [144 * 9 * 48 * 48, 9 * 48 * 48, 6912, 6912, 0]),
        ("deep", [72 * 15 * 96, 15 * 96, 6912, 6912, 0]),
        ("squeezed", [0, 0, 6912, 1152, 1152 * 6]),
        ("scaled", [0, 0, 6912 + 1152, 6912, 2 * 6912]),
        ("up", [72 * 16 * 48 * 16, 16 * 48 * 16, 6912, 4608, 0]),
        ("line", [72 * 9 * 16 * 640, 9 * 16 * 640, 4608, 46080, 0]),
        ("gate_input", [36 * 1280 * 2048, 1280 * 2048, 46080, 36 * 2048, 0]),
        ("gate_state", [36 * 2048 * 2048, 2048 * 2048, 36 * 2048, 36 * 2048, 0]),
        ("cell", [0, 0, 3 * 36 * 2048, 36 * 2048, 3 * 36 * 2048]),
        ("projected", [36 * 2048 * 384, 2048 * 384, 36 * 2048, 36 * 384, 0]),
        // Four heads of 32: queries and keys, two thirds of what was projected.
        ("scores", [36 * 36 * 128, 0, 2 * 36 * 128, 36 * 144, 0]),
        ("values", [36 * 36 * 128, 0, 36 * 144 + 36 * 128, 36 * 128, 0]),
        ("kernel", [1152 * 4096, 1152 * 4096, 1152, 4096, 0]),
        ("product", [36 * 128 * 32, 0, 36 * 128 + 4096, 36 * 32, 0]),
        ("logits", [36 * 32 * 10, 36 * 32 * 10, 36 * 32, 10, 0]),
    ];
    assert_eq!(mixed.layers().len(), expected.len());
    for (layer, (name, counts)) in mixed.layers().iter().zip(expected) {
        assert_eq!((layer.name.as_str(), counts_of(layer)), (name, counts));
        assert_eq!(layer.steps(), if layer.kind == LayerKind::Recurrent { 36 } else { 1 });
        assert_eq!(layer.kind.multiplies(), layer.macs() > 0);
    }
}

#[test]
fn carried_state_has_the_shape_of_the_layers_input() {
    let text = file(
        "[1, 1, 8]",
        &[
            layer("a", "recurrent", [1, 1, 8], [1, 1, 6], ""),
            layer("b", "recurrent", [1, 1, 5], [1, 1, 6], r#"inputs = ["state"]"#),
            layer("c", "elementwise", [1, 1, 6], [1, 1, 6], r#"inputs = ["a", "b", "state"]"#),
        ],
    );
    let application = Application::from_toml(&text, "cell.toml").unwrap();
    assert_eq!(application.layers()[1].input_bytes(), 5);
    assert_eq!(application.layers()[2].input_bytes(), 18);
    assert_eq!(application.layers()[2].producers[2], Producer::State);
    assert_eq!(application.live_bytes(), [0, 6, 0]);
}

/// `text` must be refused as a wrong file, in one line that names it and holds every fragment.
fn assert_refused(text: &str, fragments: &[&str]) {
    let result = Application::from_toml(text, "f.toml");
    assert!(matches!(result, Err(Error::Configuration(_))), "{text} gave {result:?}");
    let message = result.map_or_else(|error| error.to_string(), |application| application.name);
    assert!(message.starts_with("f.toml") && !message.contains('\n'), "{message}");
    for fragment in fragments {
        assert!(message.contains(fragment), "no {fragment:?} in: {message}");
    }
}

#[test]
fn wrong_headers_are_explained() {
    let good = file("[8, 8, 3]", &[stem("")]);
    assert!(Application::from_toml(&good, "f.toml").is_ok());
    assert_refused("", &["line 1", "missing field `name`"]);
    assert_refused("name = \"n\"\ntitle =\n", &["line 2"]);
    assert_refused(&good.replace("source", "sauce"), &["line 3", "unknown field `sauce`"]);
    assert_refused(&file("[8, 0, 3]", &[stem("")]), &["input", "[8, 0, 3]", "at least 1"]);
    assert_refused(&file("[8, 8]", &[stem("")]), &["line 4", "length 2"]);
    assert_refused(&file("[8, 8, 3]", &[]), &["layer", "at least one"]);
    assert_refused(&file("[8, 8, 3]", &[stem(r#", inputs = ["state"]"#)]), &["input: no layer reads it"]);
}

#[test]
fn wrong_fields_of_a_layer_are_explained() {
    let refuse = |layer: String, fragments: &[&str]| assert_refused(&file("[8, 8, 3]", &[layer]), fragments);
    let conv = |output, more: &str| layer("c", "conv", [8, 8, 3], output, more);
    refuse(layer("c", "convolution", [8, 8, 3], SQUARE, ""), &["layer \"c\"", "kind", "`transposed_conv`"]);
    refuse(stem(", padding = 2"), &["layer \"stem\"", "unknown field `padding`"]);
    refuse(stem("").replace("[8, 8, 3]", "[8, 8]"), &["layer \"stem\"", "length 2", "`input`"]);
    refuse(conv([4, -4, 1], ""), &["layer \"c\"", "`-4`", "`output`"]);
    refuse(conv([4, 1 << 32, 1], ""), &["layer \"c\"", "`4294967296`", "`output`"]);
    refuse(stem("").replace("name = \"stem\", ", ""), &["layer 1", "missing field `name`"]);
    refuse(stem("").replace("\"stem\"", "\"input\""), &["name", "must not be"]);
    refuse(conv([8, 8, 0], ""), &["layer \"c\"", "output", "[8, 8, 0]", "at least 1"]);
    refuse(conv([8, 8, 1], "stride = [1, 0]"), &["layer \"c\"", "stride", "[1, 0]"]);
    refuse(conv([7, 8, 1], "kernel = [3, 3], stride = [2, 1]"), &["output", "height of 7", "3 to 5"]);
    refuse(conv([8, 8, 3], "groups = 2"), &["layer \"c\"", "groups", "2 does not divide both 3 and 3"]);
    refuse(conv([8, 8, 3], "inputs = []"), &["layer \"c\"", "inputs", "at least one"]);
    refuse(conv([8, 8, 3], r#"inputs = ["input", "input"]"#), &["inputs", "twice"]);
    refuse(layer("e", "elementwise", [8, 8, 3], [8, 8, 4], ""), &["output", "keeps the shape"]);
    refuse(layer("p", "pool", [8, 8, 3], [8, 8, 4], ""), &["output", "4 channels", "input's 3"]);
    refuse(layer("d", "dense", [8, 8, 3], [2, 1, 8], ""), &["output", "[1, 1, units]"]);
    refuse(layer("d", "dense", [8, 8, 3], [1, 1, 8], "kernel = [8, 8]"), &["kernel", "leave it out"]);
    refuse(layer("d", "dense", [8, 8, 3], [1, 1, 8], "groups = 2"), &["groups", "found 2"]);
    refuse(layer("d", "depthwise", [8, 8, 3], [8, 8, 3], "groups = 1"), &["groups", "has 3, found 1"]);
    refuse(conv([8, 8, 1], "kernel = [3, 3], dilation = [0, 1]"), &["dilation", "[0, 1]", "at least 1"]);
    refuse(layer("d", "dense", [8, 8, 3], [1, 1, 8], "dilation = [2, 2]"), &["dilation", "leave it out"]);
    refuse(conv([3, 8, 1], "kernel = [3, 3], dilation = [2, 1]"), &["height of 3", "spans 5", "4 to 12"]);
    refuse(layer("r", "recurrent", [8, 8, 3], [8, 1, 4], ""), &["output", "[steps, 1, features]"]);
    refuse(layer("r", "recurrent", [8, 1, 24], [4, 1, 4], "view = true"), &["output", "[steps, 1, units]"]);
    refuse(layer("m", "matmul", [8, 8, 3], [8, 4, 3], ""), &["output", "keeps the height and width"]);
    refuse(layer("m", "matmul", [8, 8, 3], [8, 8, 4], "groups = 2"), &["groups", "2 does not divide both"]);
    refuse(
        layer("m", "matmul", [8, 8, 3], [8, 8, 3], ""),
        &["inputs", "input [8, 8, 3]", "[8, 8, 3] and 9 elements"],
    );
    refuse(conv([8, 8, 1], "view = 1"), &["layer \"c\"", "view"]);
}

#[test]
fn wrong_wiring_is_explained() {
    let refuse = |layer: String, fragments: &[&str]| {
        assert_refused(&file("[8, 8, 3]", &[stem(""), layer]), fragments);
    };
    let add = |inputs: &str| layer("add", "elementwise", SQUARE, SQUARE, inputs);
    refuse(stem(""), &["layer \"stem\"", "name", "layers 1 and 2"]);
    refuse(
        add(r#"inputs = ["stam"]"#),
        &["layer \"add\"", "\"stam\" is no earlier layer (did you mean stem?)"],
    );
    refuse(add(r#"inputs = ["add"]"#), &["layer \"add\"", "\"add\" is no earlier layer"]);
    refuse(add(r#"inputs = ["stem", "input"]"#), &["inputs", "input [8, 8, 3]", "gate of [1, 1, 16]"]);
    refuse(layer("c", "conv", [4, 4, 15], SQUARE, ""), &["inputs", "stem [4, 4, 16]", "[4, 4, 15]"]);
    refuse(
        layer("c", "conv", [4, 4, 19], SQUARE, r#"inputs = ["stem", "input"]"#),
        &["inputs", "[4, 4, 19]"],
    );
    refuse(layer("d", "dense", [1, 1, 255], [1, 1, 8], ""), &["inputs", "stem [4, 4, 16]", "[1, 1, 255]"]);
}

#[test]
fn work_beyond_64_bits_is_refused() {
    const MOST: i64 = u32::MAX as i64;
    let wide = |name: &str| layer(name, "dense", [1, 1, MOST], [1, 1, MOST], "");
    let input = format!("[1, 1, {MOST}]");
    assert!(Application::from_toml(&file(&input, &[wide("a")]), "f.toml").is_ok());
    assert_refused(&file(&input, &[wide("a"), wide("b")]), &["sums exceed 2^64"]);
    let input = format!("[{MOST}, {MOST}, 1]");
    let conv = layer("c", "conv", [MOST, MOST, 1], [MOST, MOST, 2], "");
    assert_refused(&file(&input, &[conv]), &["layer \"c\"", "more than 2^64"]);
    let input = format!("[{MOST}, {MOST}, {MOST}]");
    let sum = layer("e", "elementwise", [MOST; 3], [MOST; 3], "");
    assert_refused(&file(&input, &[sum]), &["layer \"e\"", "more than 2^64"]);
}
