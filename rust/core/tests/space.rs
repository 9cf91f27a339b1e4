//! The space module: codec, expressions against a reference evaluator, design space files, errors.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panic")]
#![allow(clippy::float_cmp, reason = "results are compared with what they must be exactly")]
#![allow(clippy::too_many_lines, reason = "tables of cases")]

use std::fmt::Write as _;

use prime_fast_core::search::{Domain, LimitedSpace};
use prime_fast_core::space::Batch;
use prime_fast_core::space::expression::{Condition, Meaning, Names, Number, Values};
use prime_fast_core::{DesignSpace, Error};
use proptest::prelude::*;

/// TOML of a space of integer parameters p0, p1, ... with these numbers of values.
fn integers(cardinalities: &[usize]) -> String {
    let mut text = "name = \"integers\"\n".to_owned();
    for (position, &cardinality) in cardinalities.iter().enumerate() {
        let values: Vec<usize> = (0..cardinality).collect();
        writeln!(text, "[[parameter]]\nname = \"p{position}\"\nvalues = {values:?}").unwrap();
    }
    text
}

fn space(text: &str) -> DesignSpace {
    DesignSpace::from_toml(text, "space.toml").unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The error of a file that is no design space.
fn refusal(text: &str) -> String {
    match DesignSpace::from_toml(text, "space.toml") {
        Err(Error::Configuration(message)) => message,
        other => panic!("expected a configuration error, found {other:?}"),
    }
}

// --- codec -------------------------------------------------------------------------------------------------

/// Numbers of values whose product is at most 2^64, some at the very end of what is possible.
fn cardinalities() -> impl Strategy<Value = Vec<usize>> {
    let one =
        prop_oneof![30 => 1..=3_usize, 30 => 2..=20_usize, 10 => 255..=257_usize, 1 => Just(65_535_usize)];
    proptest::collection::vec(one, 1..=64).prop_map(|mut all| {
        let mut size = 1_u128;
        for cardinality in &mut all {
            if size * *cardinality as u128 > 1 << 64 {
                *cardinality = 1;
            }
            size *= *cardinality as u128;
        }
        all
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn index_and_ranks_are_inverse(all in cardinalities(), picks in proptest::collection::vec(any::<u64>(), 32)) {
        let space = space(&integers(&all));
        let size: u128 = all.iter().map(|&cardinality| cardinality as u128).product();
        prop_assert_eq!(space.size(), size);
        let mut designs: Vec<(u64, Vec<u16>)> = Vec::new();
        for pick in picks.iter().copied().chain([0, (size - 1) as u64]) {
            let index = (u128::from(pick) % size) as u64;
            let mut ranks = vec![0_u16; all.len()];
            space.ranks_of(index, &mut ranks);
            prop_assert!(ranks.iter().zip(&all).all(|(&rank, &cardinality)| usize::from(rank) < cardinality));
            prop_assert_eq!(space.index_of(&ranks), index);
            if all.iter().all(|&cardinality| cardinality <= 256) {
                let narrow: Vec<u8> = ranks.iter().map(|&rank| rank as u8).collect();
                let mut back = vec![0_u8; all.len()];
                space.ranks_of(index, &mut back);
                prop_assert_eq!((space.index_of(&narrow), back), (index, narrow));
            }
            designs.push((index, ranks));
        }
        // The first parameter is the most significant, so designs and their indices sort alike.
        designs.sort_by_key(|(index, _)| *index);
        prop_assert!(designs.is_sorted_by(|(_, a), (_, b)| a <= b));

        let ranks: Vec<u16> = all.iter().zip(picks.iter().cycle()).map(|(&n, &pick)| (pick % n as u64) as u16).collect();
        let mut back = vec![u16::MAX; all.len()];
        space.ranks_of(space.index_of(&ranks), &mut back);
        prop_assert_eq!(back, ranks);
    }

    #[test]
    fn every_design_of_a_small_space_has_one_index(all in proptest::collection::vec(1..=6_usize, 1..=5)) {
        let space = space(&integers(&all));
        let mut expected = vec![0_u16; all.len()];
        for index in 0..space.size() as u64 {
            let mut ranks = vec![0_u16; all.len()];
            space.ranks_of(index, &mut ranks);
            prop_assert_eq!(&ranks, &expected);
            prop_assert_eq!(space.index_of(&ranks), index);
            // Count up as an odometer does.
            for (digit, &cardinality) in expected.iter_mut().zip(&all).rev() {
                *digit = (*digit + 1) % cardinality as u16;
                if *digit != 0 {
                    break;
                }
            }
        }
        prop_assert!(expected.iter().all(|&digit| digit == 0));
    }
}

#[test]
fn a_space_may_have_exactly_2_to_the_64_designs() {
    let half = 1_usize << 15;
    let spaces = [
        vec![2; 64],
        vec![half, half, half, half, 16],
        vec![1, half, half, 1, half, half, 16, 1],
        vec![16, 1, half, half, half, half],
    ];
    for all in spaces {
        let space = space(&integers(&all));
        assert_eq!(space.size(), 1 << 64);
        let last: Vec<u16> = all.iter().map(|&cardinality| (cardinality - 1) as u16).collect();
        assert_eq!(space.index_of(&last), u64::MAX);
        let mut ranks = vec![0; all.len()];
        space.ranks_of(u64::MAX, &mut ranks);
        assert_eq!(ranks, last);
        space.ranks_of(0, &mut ranks);
        assert!(ranks.iter().all(|&rank| rank == 0));
    }
    for all in [vec![half, half, half, half, 17], vec![65_535; 5]] {
        let message = refusal(&integers(&all));
        assert_eq!(message, "space.toml: the space has more than 2^64 designs; remove values or parameters");
    }
}

#[test]
fn prime_has_the_published_size() {
    let space = DesignSpace::bundled("prime").unwrap();
    assert_eq!(space.size(), 452_760_000);
    assert_eq!(space.cardinalities(), [10, 10, 7, 10, 7, 11, 7, 4, 5, 6]);
    let mut ranks = [9_u8; 10];
    space.ranks_of(0, &mut ranks);
    assert_eq!(ranks, [0; 10]);
    space.ranks_of(452_759_999, &mut ranks);
    assert_eq!(ranks, [9, 9, 6, 9, 6, 10, 6, 3, 4, 5]);
    assert_eq!(space.index_of(&ranks), 452_759_999);
}

#[test]
fn validate_names_design_and_parameter() {
    let space = space(&integers(&[2, 3]));
    assert_eq!(space.validate(&[1_u16, 2, 0, 0]), Ok(()));
    assert_eq!(space.validate::<u8>(&[]), Ok(()));
    let error = space.validate(&[0_u8, 0, 1, 3]).unwrap_err();
    assert_eq!(error, Error::Data("design 1: `p1` has rank 3; it has 3 values, so ranks 0 to 2".into()));
    let error = space.validate(&[0_u16; 3]).unwrap_err();
    assert_eq!(error, Error::Data("3 ranks are not whole designs of 2 parameters".into()));
}

// --- expressions -------------------------------------------------------------------------------------------

/// The names that expressions of the tests use.
const NUMBERS: [&str; 3] = ["a", "bc", "_d1"];
const FLOWS: [&str; 3] = ["weight", "output", "row stationary"];

fn names() -> Names {
    let mut names = Names::new();
    for (position, name) in NUMBERS.iter().enumerate() {
        names.insert((*name).to_owned(), Meaning::NumericParameter(position));
    }
    names.insert("flag".into(), Meaning::Condition(Condition::Rank { parameter: 3, rank: 1, equal: true }));
    names.insert("flow".into(), Meaning::TextParameter(4, FLOWS.map(str::to_owned).to_vec()));
    names.insert("half".into(), Meaning::Number(Number::Literal(0.5)));
    names.insert("area".into(), Meaning::Number(Number::Metric(0)));
    names
}

/// One design: values of `a`, `bc` and `_d1`, then `flag`, the rank of `flow`, and `area`.
#[derive(Debug, Clone)]
struct Design([f64; 3], bool, usize, f64);

impl Values for Design {
    fn value(&self, parameter: usize) -> f64 {
        self.0[parameter]
    }

    fn rank(&self, parameter: usize) -> usize {
        if parameter == 3 { usize::from(self.1) } else { self.2 }
    }

    fn metric(&self, _: usize) -> f64 {
        self.3
    }
}

fn designs() -> impl Strategy<Value = Design> {
    let value = || prop_oneof![(-4..=8_i32).prop_map(f64::from), -100.0..100.0, Just(0.0), Just(1e300)];
    ([value(), value(), value()], any::<bool>(), 0..FLOWS.len(), value())
        .prop_map(|(numbers, flag, flow, area)| Design(numbers, flag, flow, area))
}

/// A syntax tree: a node's text, its children and how tightly it binds.
#[derive(Debug, Clone)]
enum Tree {
    Literal(f64, String),
    Name(&'static str),
    Boolean(bool),
    Flow { text: usize, equal: bool, swapped: bool },
    Unary(&'static str, Box<Tree>),
    Binary(&'static str, Box<Tree>, Box<Tree>),
    Call(&'static str, Vec<Tree>),
    Parenthesised(Box<Tree>),
}

fn binding(operator: &str) -> u8 {
    match operator {
        "or" => 1,
        "and" => 2,
        "not" => 3,
        "<" | "<=" | ">" | ">=" | "==" | "!=" => 4,
        "+" | "-" => 5,
        _ => 6,
    }
}

impl Tree {
    fn binding(&self) -> u8 {
        match self {
            Self::Flow { .. } => 4,
            Self::Unary("-", _) => 7,
            Self::Unary(operator, _) | Self::Binary(operator, ..) => binding(operator),
            _ => 8,
        }
    }

    /// The text, in parentheses where it binds less than `least`: no more of them than the grammar needs.
    fn print(&self, least: u8) -> String {
        let text = match self {
            Self::Literal(_, text) => text.clone(),
            Self::Name(name) => (*name).to_owned(),
            Self::Boolean(value) => value.to_string(),
            Self::Flow { text, equal, swapped } => {
                let (operator, text) = (if *equal { "==" } else { "!=" }, FLOWS[*text]);
                if *swapped {
                    format!("'{text}'{operator} flow")
                } else {
                    format!("flow {operator}\"{text}\"")
                }
            }
            Self::Unary("not", inner) => format!("not {}", inner.print(3)),
            Self::Unary(_, inner) => format!("-{}", inner.print(7)),
            Self::Binary(operator, a, b) => {
                let binding = binding(operator);
                // Comparisons don't chain; all else groups to the left.
                let left = a.print(if binding == 4 { 5 } else { binding });
                format!("{left} {operator}\t{}", b.print(binding + 1))
            }
            Self::Call(name, arguments) => {
                let arguments: Vec<String> = arguments.iter().map(|argument| argument.print(5)).collect();
                format!("{name}( {})", arguments.join(","))
            }
            Self::Parenthesised(inner) => format!("({})", inner.print(1)),
        };
        if self.binding() < least { format!("({text})") } else { text }
    }

    /// The number that a numeric tree stands for, by the rules of Python's floats where it has them.
    fn number(&self, design: &Design) -> f64 {
        match self {
            Self::Literal(value, _) => *value,
            Self::Name("half") => 0.5,
            Self::Name("area") => design.3,
            Self::Name(name) => design.0[NUMBERS.iter().position(|known| known == name).unwrap()],
            Self::Unary(_, inner) => -inner.number(design),
            Self::Binary(operator, a, b) => {
                let (a, b) = (a.number(design), b.number(design));
                let rest = if a % b != 0.0 && (a % b).signum() != b.signum() { a % b + b } else { a % b };
                match *operator {
                    "+" => a + b,
                    "-" => a - b,
                    "*" => a * b,
                    "/" => a / b,
                    "%" => rest,
                    "//" if b == 0.0 => a / b,
                    _ => ((a - a % b) / b).round() - f64::from(rest != a % b && !rest.is_nan()),
                }
            }
            Self::Call(name, arguments) => {
                let arguments: Vec<f64> = arguments.iter().map(|argument| argument.number(design)).collect();
                let known = arguments.iter().copied().filter(|value| !value.is_nan());
                match *name {
                    "min" => known.min_by(f64::total_cmp).map_or(f64::NAN, |least| least + 0.0),
                    "max" => known.max_by(f64::total_cmp).map_or(f64::NAN, |most| most + 0.0),
                    "abs" => arguments[0].abs(),
                    "ceil" => arguments[0].ceil(),
                    "floor" => arguments[0].floor(),
                    _ => arguments[0].log2(),
                }
            }
            Self::Parenthesised(inner) => inner.number(design),
            _ => unreachable!("{self:?} is a condition"),
        }
    }

    /// Whether a condition (or, where `not`, its negation) holds, and whether a NaN was compared.
    fn holds(&self, design: &Design, not: bool) -> (bool, bool) {
        match self {
            Self::Boolean(value) => (*value != not, false),
            Self::Name(_) => (design.1 != not, false),
            Self::Flow { text, equal, .. } => (((design.2 == *text) == *equal) != not, false),
            Self::Unary(_, inner) => inner.holds(design, !not),
            Self::Parenthesised(inner) => inner.holds(design, not),
            Self::Binary(operator @ ("and" | "or"), a, b) => {
                let ((a, nan_a), (b, nan_b)) = (a.holds(design, not), b.holds(design, not));
                (if (*operator == "and") == not { a || b } else { a && b }, nan_a || nan_b)
            }
            Self::Binary(operator, a, b) => {
                let (a, b) = (a.number(design), b.number(design));
                if a.is_nan() || b.is_nan() {
                    return (false, true);
                }
                let holds = match *operator {
                    "<" => a < b,
                    "<=" => a <= b,
                    ">" => a > b,
                    ">=" => a >= b,
                    "==" => a == b,
                    _ => a != b,
                };
                (holds != not, false)
            }
            _ => unreachable!("{self:?} is a number"),
        }
    }
}

fn numeric() -> impl Strategy<Value = Tree> {
    let literal = prop_oneof![
        (0..=20_u32).prop_map(|value| Tree::Literal(f64::from(value), value.to_string())),
        (0.0..1e6_f64).prop_map(|value| Tree::Literal(value, format!("{value:?}"))),
        (1.0..10.0_f64, -30..30_i32).prop_map(|(digits, power)| {
            let text = format!("{digits}e{power}");
            Tree::Literal(text.parse().unwrap(), text)
        }),
        Just(Tree::Literal(1_048_576.0, "1_048_576".into())),
        Just(Tree::Literal(0.25, ".25".into())),
    ];
    let name = proptest::sample::select(vec!["a", "bc", "_d1", "half", "area"]).prop_map(Tree::Name);
    prop_oneof![literal, name].prop_recursive(5, 24, 3, |inner| {
        let operator = proptest::sample::select(vec!["+", "-", "*", "/", "//", "%"]);
        prop_oneof![
            4 => (operator, inner.clone(), inner.clone())
                .prop_map(|(operator, a, b)| Tree::Binary(operator, Box::new(a), Box::new(b))),
            1 => inner.clone().prop_map(|a| Tree::Unary("-", Box::new(a))),
            1 => inner.clone().prop_map(|a| Tree::Parenthesised(Box::new(a))),
            1 => (proptest::sample::select(vec!["abs", "ceil", "floor", "log2"]), inner.clone())
                .prop_map(|(name, a)| Tree::Call(name, vec![a])),
            1 => (proptest::sample::select(vec!["min", "max"]), proptest::collection::vec(inner, 2..=3))
                .prop_map(|(name, arguments)| Tree::Call(name, arguments)),
        ]
    })
}

fn conditional() -> impl Strategy<Value = Tree> {
    let operator = proptest::sample::select(vec!["<", "<=", ">", ">=", "==", "!="]);
    let leaf = prop_oneof![
        6 => (operator, numeric(), numeric())
            .prop_map(|(operator, a, b)| Tree::Binary(operator, Box::new(a), Box::new(b))),
        1 => any::<bool>().prop_map(Tree::Boolean),
        1 => Just(Tree::Name("flag")),
        2 => (0..FLOWS.len(), any::<bool>(), any::<bool>())
            .prop_map(|(text, equal, swapped)| Tree::Flow { text, equal, swapped }),
    ];
    leaf.prop_recursive(4, 12, 2, |inner| {
        prop_oneof![
            3 => (proptest::sample::select(vec!["and", "or"]), inner.clone(), inner.clone())
                .prop_map(|(operator, a, b)| Tree::Binary(operator, Box::new(a), Box::new(b))),
            1 => inner.clone().prop_map(|a| Tree::Unary("not", Box::new(a))),
            1 => inner.prop_map(|a| Tree::Parenthesised(Box::new(a))),
        ]
    })
}

fn same(a: f64, b: f64) -> bool {
    a == b || a.is_nan() && b.is_nan()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn printed_numbers_parse_to_the_same_value(tree in numeric(), all in proptest::collection::vec(designs(), 8)) {
        let text = tree.print(1);
        let parsed = Number::parse(&text, &names()).unwrap();
        for design in all {
            let (ours, expected) = (parsed.evaluate(&design), tree.number(&design));
            prop_assert!(same(ours, expected), "{} is {}, expected {} for {:?}", text, ours, expected, design);
        }
    }

    #[test]
    fn printed_conditions_parse_to_the_same_truth(tree in conditional(), all in proptest::collection::vec(designs(), 8)) {
        let text = tree.print(1);
        let parsed = Condition::parse(&text, &names()).unwrap();
        let negated = Condition::parse(&format!("not ({text})"), &names()).unwrap();
        for design in all {
            let (expected, nan) = tree.holds(&design, false);
            prop_assert_eq!(parsed.holds(&design), expected, "{} for {:?}", text, design);
            let otherwise = negated.holds(&design);
            prop_assert_eq!(otherwise, tree.holds(&design, true).0, "not {} for {:?}", text, design);
            if !nan {
                prop_assert_ne!(otherwise, expected);
            }
            for condition in [&parsed, &negated] {
                let violation = condition.violation(&design);
                prop_assert!(violation >= 0.0, "violation {} of {} for {:?}", violation, text, design);
                prop_assert_eq!(violation == 0.0, condition.holds(&design), "{} for {:?}", text, design);
            }
        }
    }

    #[test]
    fn floor_division_and_modulo_fit_together(a in -1e6..1e6_f64, b in prop_oneof![-1e3..-1e-3, 1e-3..1e3]) {
        let design = Design([a, b, 0.0], false, 0, 0.0);
        let value = |text: &str| Number::parse(text, &names()).unwrap().evaluate(&design);
        let (quotient, rest) = (value("a // bc"), value("a % bc"));
        prop_assert!(same(quotient, quotient.floor()));
        prop_assert!(rest == 0.0 || (rest < 0.0) == (b < 0.0), "{} has not the sign of {}", rest, b);
        prop_assert!(rest.abs() <= b.abs());
        prop_assert!((quotient * b + rest - a).abs() <= 1e-9 * a.abs().max(b.abs()));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        let _ = (Number::parse(&text, &names()), Condition::parse(&text, &names()));
    }

    #[test]
    fn no_sequence_of_tokens_makes_the_parser_panic(
        parts in proptest::collection::vec(proptest::sample::select(vec![
            "a", "bc", "flag", "flow", "area", "min", "log2", "true", "not", "and", "or", "(", ")", ",", "<", "<=",
            "==", "!=", "=", "+", "-", "*", "/", "//", "%", "1", "2.5", "1e", "1e3", "1e999", ".", "..", "_", "\"",
            "'", "\"weight\"", "é", "∞", " ", "\n", "\u{0}", "\u{a0}",
        ]), 0..24),
        spaced in any::<bool>(),
    ) {
        let text = parts.join(if spaced { " " } else { "" });
        let design = Design([1.0, 2.0, 3.0], true, 1, 4.0);
        match (Number::parse(&text, &names()), Condition::parse(&text, &names())) {
            (Ok(_), Ok(_)) => prop_assert!(false, "{} is both a number and a condition", text),
            (Ok(number), Err(_)) => { number.evaluate(&design); }
            (Err(_), Ok(condition)) => { condition.holds(&design); }
            (Err(a), Err(b)) => prop_assert!(!a.is_empty() && !b.is_empty()),
        }
    }

    #[test]
    fn no_text_makes_the_reader_of_spaces_panic(text in any::<String>()) {
        let _ = DesignSpace::from_toml(&text, "space.toml");
    }
}

#[test]
fn precedence_and_grouping() {
    let design = Design([2.0, 3.0, -5.0], true, 1, 7.0);
    let numbers = [
        ("1 + 2 * 3", 7.0),
        ("(1 + 2) * 3", 9.0),
        ("10 - 4 - 3", 3.0),
        ("64 / 4 / 2", 8.0),
        ("2 * 7 // 4", 3.0),
        ("2 * (7 // 4)", 2.0),
        ("7 % 4 * 2", 6.0),
        ("-a * bc", -6.0),
        ("--a", 2.0),
        ("-7 // 2", -4.0),
        ("-(7 // 2)", -3.0),
        ("2 - -1", 3.0),
        ("a-1", 1.0),
        ("1e3+1E-3", 1000.001),
        ("min(a, bc, _d1) + max(a, bc)", -2.0),
        ("abs(_d1) + ceil(half) + floor(half) + log2(8)", 9.0),
        ("area * half", 3.5),
        ("max(0 / 0, 1)", 1.0),
    ];
    for (text, expected) in numbers {
        assert_eq!(Number::parse(text, &names()).unwrap().evaluate(&design), expected, "{text}");
    }
    let conditions = [
        ("a < bc", true),
        ("a + 1 >= bc and a > 2 or flag", true),
        ("a + 1 >= bc and (a > 2 or not flag)", false),
        ("true or true and false", true),
        ("(true or true) and false", false),
        ("not false and false", false),
        ("not (false and false)", true),
        ("not a == 2", false),
        ("not not flag", true),
        ("flow == \"output\" and 'weight' != flow", true),
        ("not flow == \"output\"", false),
        ("0 / 0 == 0 / 0", false),
        ("0 / 0 != 1", false),
        ("not 0 / 0 < 1", false),
        ("1 / 0 > 1e300", true),
    ];
    for (text, expected) in conditions {
        assert_eq!(Condition::parse(text, &names()).unwrap().holds(&design), expected, "{text}");
    }
}

#[test]
fn floor_division_and_modulo_are_pythons() {
    // a, b, a // b, a % b by CPython 3.11
    let rows = [
        (7.0, 2.0, 3.0, 1.0),
        (-7.0, 2.0, -4.0, 1.0),
        (7.0, -2.0, -4.0, -1.0),
        (-7.0, -2.0, 3.0, -1.0),
        (6.0, 3.0, 2.0, 0.0),
        (-6.0, 3.0, -2.0, 0.0),
        (1.0, 0.1, 9.0, 0.099_999_999_999_999_95),
        (-1.0, 0.1, -10.0, 5.551_115_123_125_783e-17),
        (0.3, 0.1, 2.0, 0.099_999_999_999_999_98),
        (5.5, -2.0, -3.0, -0.5),
        (-0.5, 2.0, -1.0, 1.5),
        (1e17, 3.0, 33_333_333_333_333_332.0, 1.0),
        (-1e17, 3.0, -33_333_333_333_333_332.0, 2.0),
        (0.0, 5.0, 0.0, 0.0),
        (9_007_199_254_740_992.0, 7.0, 1_286_742_750_677_284.0, 4.0),
    ];
    for (a, b, quotient, rest) in rows {
        let design = Design([a, b, 0.0], false, 0, 0.0);
        let value = |text: &str| Number::parse(text, &names()).unwrap().evaluate(&design);
        assert_eq!((value("a // bc"), value("a % bc")), (quotient, rest), "{a} by {b}");
    }
}

#[test]
fn the_zero_of_min_and_max_has_one_sign_for_one_design_and_for_many() {
    let zeros = ["0", "-0", "z", "-z", "z * -1"];
    let mut text = "name = 'zeros'\nparameter = [{ name = 'z', values = [0] }]\n".to_owned();
    let mut constraints = 0;
    for (a, b) in zeros.iter().flat_map(|a| zeros.map(|b| (a, b))) {
        for function in ["min", "max"] {
            let expression = format!("1 / {function}({a}, {b})");
            let value = Number::parse(&expression.replace('z', "(0 * 1)"), &names()).unwrap();
            assert_eq!(value.evaluate(&Design([0.0; 3], false, 0, 0.0)), f64::INFINITY, "{expression}");
            writeln!(text, "[[constraint]]\nname = 'c{constraints}'\nexpression = '{expression} > 0'")
                .unwrap();
            constraints += 1;
        }
    }
    let space = space(&text);
    assert_eq!(space.check(&[0_u8]), None);
    let mut broken = [1; 40];
    Batch::new(&space, &[0_u8; 40]).check(&mut broken);
    assert_eq!(broken, [0; 40]);
    let mut violations = [f64::NAN; 40];
    LimitedSpace::new(space, &[]).unwrap().violations(&[0; 40], &mut violations);
    assert_eq!(violations, [0.0; 40]);
}

#[test]
fn violations_grow_with_the_distance_and_add_up() {
    let violation = |text: &str, a: f64, bc: f64| {
        Condition::parse(text, &names()).unwrap().violation(&Design([a, bc, 0.0], false, 0, 0.0))
    };
    assert!((violation("a <= bc", 125.0, 100.0) - 0.2).abs() < 1e-12);
    assert!(violation("a <= bc", 101.0, 100.0) < violation("a <= bc", 102.0, 100.0));
    let (left, right) = (violation("a <= 10", 20.0, 5.0), violation("bc >= 8", 20.0, 5.0));
    assert!((violation("a <= 10 and bc >= 8", 20.0, 5.0) - (left + right)).abs() < 1e-12);
    assert!((violation("a <= 10 or bc >= 8", 20.0, 5.0) - left.min(right)).abs() < 1e-12);
    // Equals break a strict comparison by the least amount; what has no scale counts 1.
    assert!((0.0..1e-12).contains(&violation("a < bc", 3.0, 3.0)) && violation("a < bc", 3.0, 3.0) > 0.0);
    for text in ["a != 20", "flag", "0 / 0 < 1", "flow == 'output'", "1 / 0 < a", "false"] {
        assert!((violation(text, 20.0, 5.0) - 1.0).abs() < 1e-12, "{text}");
    }
}

#[test]
fn errors_in_expressions_say_what_and_where() {
    let long = format!("1 <= {}", "1".repeat(4096));
    let many = format!("1 <= 1{}", " + 1".repeat(600));
    let deep = format!("{}1{} < 2", "(".repeat(100), ")".repeat(100));
    let minuses = format!("1 < {}1", "-".repeat(100));
    let cases = [
        ("aera <= 3", "unknown name `aera` (did you mean area?)", 1),
        ("a < zzzzzz", "unknown name `zzzzzz`; known: _d1, a, area, bc, flag, flow, half", 5),
        (
            "flow == weight",
            "unknown name `weight`; as a value of `flow` it needs quotes: 'weight'; known: _d1,",
            9,
        ),
        (
            "a < mim(1, 2)",
            "unknown function `mim` (did you mean min?); known: min, max, abs, ceil, floor, log2",
            5,
        ),
        ("a < min(1)", "`min` takes at least two arguments, found 1", 5),
        ("a < log2(1, 2)", "`log2` takes one argument, found 2", 5),
        ("a < min()", "expected a number or a name, found `)`", 9),
        ("a < min(1 2)", "expected `,` or `)`, found `2`", 11),
        ("a + flag < 2", "expected a number, found what is true or false, which stands by itself: `x` or", 5),
        ("flag == 1", "expected a number, found what is true or false, which stands by itself: `x` or", 1),
        ("a == true", "expected a number, found what is true or false, which stands by itself: `x` or", 6),
        ("(a < 1) == (bc < 1)", "expected a number, found a condition", 1),
        ("a and flag", "expected a condition, found a number", 1),
        ("not a", "expected a condition, found a number", 5),
        (
            "flow < 2",
            "`flow` is categorical: it compares by == or != with one of its texts: weight, output, row stationary",
            1,
        ),
        ("2 == flow", "`flow` is categorical: it compares by == or", 6),
        ("flow == flow", "`flow` is categorical: it compares by == or", 1),
        ("a + flow < 2", "`flow` is categorical: it compares by == or", 5),
        ("flow and flag", "`flow` is categorical: it compares by == or", 1),
        ("max(a, flow) < 2", "`flow` is categorical: it compares by == or", 8),
        ("a == 'weight'", "a text compares with a categorical parameter only", 6),
        ("'weight' != flag", "a text compares with a categorical parameter only", 1),
        ("flow < \"output\"", "texts compare by == and != only", 1),
        (
            "flow == \"outptu\"",
            "\"outptu\" is no value of `flow` (did you mean output?); known: weight, output, row stationary",
            9,
        ),
        ("\"a\" == \"b\"", "a text compares with a categorical parameter only", 1),
        ("1 < a < 3", "comparisons don't chain; join two with `and`", 7),
        ("a = 3", "`=` is not a comparison; write `==`", 3),
        ("(a < 3", "expected `)`, found the end", 7),
        ("a < 3)", "expected an operator or the end, found `)`", 6),
        ("flow == \"output", "this text has no closing quote", 9),
        ("é", "unexpected character `é`", 1),
        ("'é' == flow é", "unexpected character `é`", 13),
        ("a < 1.2.3", "`1.2.3` is not a number", 5),
        ("a < 0x10", "`0x10` is not a number", 5),
        ("a < 1e999", "the number is too large", 5),
        ("a <", "expected a number or a name, found the end", 4),
        ("a b", "expected an operator or the end, found `b`", 3),
        ("", "expected a number or a name, found the end", 1),
        ("  ", "expected a number or a name, found the end", 3),
        ("a + 1", "this is a number; a constraint needs a comparison such as a <= b", 1),
        ("flow", "this is a categorical parameter; a constraint needs a comparison such as a <= b", 1),
        (&many, "the expression has more than 500 operands", 2002),
        (&deep, "the expression is nested too deeply", 33),
        (&minuses, "the expression is nested too deeply", 69),
    ];
    for (text, message, column) in cases {
        let error = Condition::parse(text, &names()).unwrap_err();
        assert!(error.starts_with(message), "{error}");
        let lines: Vec<&str> = error.lines().collect();
        assert_eq!(lines.len(), 3, "{error}");
        assert!(lines[0].ends_with(&format!(" (column {column})")), "{error}");
        // The caret stands under the place.
        let caret = lines[2].find('^').unwrap();
        assert_eq!(lines[2].trim_start(), "^", "{error}");
        let pointed = lines[1].chars().nth(caret);
        assert_eq!(pointed, text.chars().nth(column - 1), "{error}");
        if text.len() <= 72 {
            assert_eq!(lines[1], format!("    {text}"), "{error}");
        }
        assert!(error.len() < 350, "{error}");
    }
    let error = Condition::parse(&many, &names()).unwrap_err();
    assert!(error.contains(&format!("\n    ...{}...\n", " + 1".repeat(18))), "{error}");
    let error = Condition::parse("a <\n\tzz", &names()).unwrap_err();
    assert!(error.ends_with("(column 6)\n    a <  zz\n         ^"), "{error}");
    let error = Condition::parse(&long, &names()).unwrap_err();
    assert_eq!(error, "the expression has 4101 bytes, at most 4096 are allowed");
    let error = Number::parse("a < 1", &names()).unwrap_err();
    assert_eq!(error, "this is a condition; a metric needs a number (column 1)\n    a < 1\n    ^");
    // What people write is nested and long enough.
    let text = format!("{}a{} < 1{}", "(".repeat(20), ")".repeat(20), " + 1".repeat(400));
    assert!(Condition::parse(&text, &names()).is_ok());
}

// --- files -------------------------------------------------------------------------------------------------

const FILE: &str = r#"
name = "small"
title = "For the tests"
constants = { least = 4.0 }

[[parameter]]
name = "tile"
unit = "rows"
values = [1, 2, 4, 8]

[[parameter]]
name = "unroll"
column = "U"
values = [0.5, 1, 2.5]

[[parameter]]
name = "order"
values = ["ij", "ji"]

[[parameter]]
name = "vector"
values = [false, true]

[[metric]]
name = "work"
unit = "rows"
expression = "tile * unroll"

[[metric]]
name = "cost"
expression = "work + least"

[[constraint]]
name = "not_tiny"
expression = "work >= 1"

[[constraint]]
name = "vector_rows"
expression = "not vector or order == 'ij' and tile >= least"
"#;

#[test]
fn a_file_with_everything() {
    let space = space(FILE);
    assert_eq!((space.name(), space.title(), space.text()), ("small", "For the tests", FILE));
    let kinds: Vec<&str> = space.parameters().iter().map(|parameter| parameter.kind.name()).collect();
    assert_eq!(kinds, ["ordinal", "ordinal", "categorical", "categorical"]);
    assert_eq!(space.cardinalities(), [4, 3, 2, 2]);
    let (work, cost) = (space.metric_position("work").unwrap(), space.metric_position("cost").unwrap());
    let mut broken = [0; 3];
    for index in 0..space.size() as u64 {
        let mut ranks = [0_u8; 4];
        space.ranks_of(index, &mut ranks);
        let [tile, unroll] =
            [[1.0, 2.0, 4.0, 8.0][usize::from(ranks[0])], [0.5, 1.0, 2.5][usize::from(ranks[1].min(2))]];
        assert_eq!(space.metric(work, &ranks), tile * unroll);
        assert_eq!(space.metric(cost, &ranks), tile * unroll + 4.0);
        let expected = if tile * unroll < 1.0 {
            Some(0)
        } else if ranks[3] == 1 && !(ranks[2] == 0 && tile >= 4.0) {
            Some(1)
        } else {
            None
        };
        assert_eq!(space.check(&ranks), expected, "{ranks:?}");
        assert_eq!(space.violation(&ranks, &[]) == 0.0, expected.is_none(), "{ranks:?}");
        broken[expected.map_or(2, |position| position)] += 1;
        // A limit is kept up to and with its value, and broken by the next number down.
        let value = space.metric(cost, &ranks);
        assert_eq!(space.violation(&ranks, &[(cost, value)]), space.violation(&ranks, &[]));
        assert!(space.violation(&ranks, &[(cost, value.next_down())]) > space.violation(&ranks, &[]));
        assert!(space.violation(&ranks, &[(work, 1e-320)]).is_finite());
    }
    assert!(broken.iter().all(|&designs| designs > 0), "{broken:?}");
    let error = space.metric_position("costs").unwrap_err();
    assert_eq!(
        error.to_string(),
        "space `small` has no metric `costs` (did you mean cost?); known: work, cost"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn check_and_violation_agree(
        trees in proptest::collection::vec(conditional(), 1..=3),
        ranks in proptest::collection::vec((0..5_u8, 0..4_u8, 0..3_u8, 0..2_u8, 0..3_u8), 8),
    ) {
        let mut text = r#"
            name = "random"
            constants = { half = 0.5 }
            parameter = [
                { name = "a", values = [-3, 0, 1, 2, 16] },
                { name = "bc", values = [-0.5, 0.0, 0.1, 1e9] },
                { name = "_d1", values = [7, 1, 5], kind = "categorical" },
                { name = "flag", values = [false, true] },
                { name = "flow", values = ["weight", "output", "row stationary"] },
            ]
            metric = [{ name = "area", expression = "a / bc" }]
        "#.to_owned();
        for (position, tree) in trees.iter().enumerate() {
            let condition = tree.print(1);
            writeln!(text, "[[constraint]]\nname = \"c{position}\"\nexpression = '''{condition}'''").unwrap();
        }
        let space = space(&text);
        for (a, b, d, flag, flow) in ranks {
            let design = [a, b, d, flag, flow];
            let number = |parameter: usize| space.numbers(parameter)[usize::from(design[parameter])];
            let values = [number(0), number(1), number(2)];
            let reference = Design(values, flag == 1, usize::from(flow), values[0] / values[1]);
            let expected = trees.iter().position(|tree| !tree.holds(&reference, false).0);
            prop_assert_eq!(space.check(&design), expected, "{} {:?}", text, design);
            let violation = space.violation(&design, &[]);
            prop_assert!(violation >= 0.0 && violation.is_finite());
            prop_assert_eq!(violation == 0.0, expected.is_none(), "{} {:?}", text, design);
        }
    }

    #[test]
    fn violations_of_many_designs_are_those_of_each(
        trees in proptest::collection::vec(conditional(), 0..=3),
        metric in numeric(),
        limits in proptest::collection::vec((0..2_usize, prop_oneof![1e-3..1e3_f64, Just(1e300)]), 0..=2),
        indices in proptest::collection::vec(0..360_u64, 0..=80),
    ) {
        let mut text = r#"
            name = "random"
            constants = { half = 0.5 }
            parameter = [
                { name = "a", values = [-3, 0, 1, 2, 16] },
                { name = "bc", values = [-0.5, 0.0, 0.1, 1e9] },
                { name = "_d1", values = [7, 1, 5], kind = "categorical" },
                { name = "flag", values = [false, true] },
                { name = "flow", values = ["weight", "output", "row stationary"] },
            ]
        "#.to_owned();
        for (name, expression) in [("area", "a / bc"), ("other", metric.print(1).as_str())] {
            writeln!(text, "[[metric]]\nname = \"{name}\"\nexpression = '''{expression}'''").unwrap();
        }
        for (position, tree) in trees.iter().enumerate() {
            let condition = tree.print(1);
            writeln!(text, "[[constraint]]\nname = \"c{position}\"\nexpression = '''{condition}'''").unwrap();
        }
        let space = space(&text);
        let limits: Vec<_> = limits.iter().map(|&(metric, limit)| (["area", "other"][metric].to_owned(), limit)).collect();
        let domain = LimitedSpace::new(space.clone(), &limits).unwrap();
        let mut designs = vec![0; indices.len() * 5];
        for (design, index) in designs.chunks_exact_mut(5).zip(&indices) {
            space.ranks_of(*index, design);
        }
        let mut violations = vec![f64::NAN; indices.len()];
        domain.violations(&designs, &mut violations);
        for (design, violation) in designs.chunks_exact(5).zip(violations) {
            prop_assert_eq!(violation, domain.violation(design), "{} {:?} {:?}", text, limits, design);
        }
    }
}

#[test]
fn metrics_of_metrics_of_few_and_of_many_designs() {
    let text = format!(
        r#"
        {}
        [[metric]]
        name = "few"
        expression = "p0 * 2 - 1"
        [[metric]]
        name = "many"
        expression = "p0 * p1 + few"
        [[metric]]
        name = "flat"
        expression = "7 / 2"
        [[metric]]
        name = "top"
        expression = "many // (p2 + 1) - flat * few"
        [[metric]]
        name = "nowhere"
        expression = "(top - top) / (p2 - p2)"
        [[constraint]]
        name = "reachable"
        expression = "top >= p2 or few < 9"
        "#,
        integers(&[400, 300, 5])
    );
    let space = space(&text);
    let positions =
        ["few", "many", "flat", "top", "nowhere"].map(|name| space.metric_position(name).unwrap());
    let mut broken = 0;
    for index in (0..space.size() as u64).step_by(997) {
        let mut ranks = [0_u16; 3];
        space.ranks_of(index, &mut ranks);
        let [p0, p1, p2] = ranks.map(f64::from);
        let few = p0 * 2.0 - 1.0;
        let many = p0 * p1 + few;
        let top = (many / (p2 + 1.0)).floor() - 3.5 * few;
        let found = positions.map(|position| space.metric(position, &ranks));
        assert_eq!(found[..4], [few, many, 3.5, top], "{ranks:?}");
        assert!(found[4].is_nan());
        let reachable = top >= p2 || few < 9.0;
        assert_eq!(space.check(&ranks), if reachable { None } else { Some(0) }, "{ranks:?}");
        broken += usize::from(!reachable);
        let limits = [(positions[3], 2000.0), (positions[0], 500.0)];
        let kept = reachable && top <= 2000.0 && few <= 500.0;
        assert_eq!(space.violation(&ranks, &limits) == 0.0, kept, "{ranks:?}");
        // NaN is no proof of keeping a limit.
        assert!(space.violation(&ranks, &[(positions[4], 1.0)]) >= 1.0);
    }
    assert!((10..300).contains(&broken), "{broken}");
}

#[test]
fn errors_in_files_name_the_place_and_what_would_be_right() {
    let with = |parameter: &str| format!("name = \"s\"\n[[parameter]]\n{parameter}\n");
    let one = "name = 'a'\nvalues = [1, 2]\n";
    let cases = [
        ("", "missing field `name`"),
        ("name = \"s\"", "the space has no parameters; add at least one [[parameter]]"),
        ("name = ", "line 1: "),
        ("name = \"s\"\nnmae = 1", "line 2: unknown field `nmae`, expected one of `name`, `title`, "),
        (
            &with("name = 'a'\nvalues = [1]\nrange = 3"),
            "line 5: unknown field `range`, expected one of `name`, `unit`,",
        ),
        (&with("name = 'a'"), "line 2: missing field `values`"),
        (&with("name = 'a'\nvalues = 3"), "line 4: invalid type: integer `3`, expected a sequence"),
        (&with("name = 'a'\nvalues = [1979-05-27]"), "line 4: a value must be a number, a text or a boolean"),
        (&with("name = 'a'\nvalues = [[1]]"), "line 4: a value must be a number, a text or a boolean"),
        (
            &with("name = 'a'\nvalues = [1]\nkind = 'cyclic'"),
            "line 5: unknown variant `cyclic`, expected `ordinal` or",
        ),
        (&with("name = 'a'\nvalues = []"), "parameter `a` has no values; list at least one"),
        (&with("name = 'a'\nvalues = [1, 2, 1.0]"), "parameter `a` lists the value 1 twice"),
        (&with("name = 'a'\nvalues = [0.0, -0.0]"), "parameter `a` lists the value -0 twice"),
        (&with("name = 'a'\nvalues = ['x', 'x']"), "parameter `a` lists the value x twice"),
        (&with("name = 'a'\nvalues = [1, nan]"), "parameter `a` has the value NaN; values must be finite"),
        (&with("name = 'a'\nvalues = [1.5, inf]"), "parameter `a` has the value inf; values must be finite"),
        (
            &with("name = 'a'\nvalues = [1, 4, 2]"),
            "parameter `a` is ordinal but 4 comes before 2; list its values in increasing order",
        ),
        (
            &with("name = 'a'\nvalues = [1, 'two']"),
            "parameter `a` mixes numbers, texts and booleans; use one type for all values",
        ),
        (
            &with("name = 'a'\nvalues = [1, true]"),
            "parameter `a` mixes numbers, texts and booleans; use one type",
        ),
        (&with("name = 'a b'\nvalues = [1]"), "the name `a b` is not a word of letters, digits and `_` that"),
        (&with("name = '2a'\nvalues = [1]"), "the name `2a` is not a word of letters, digits and `_` that"),
        (&with("name = 'ä'\nvalues = [1]"), "the name `ä` is not a word of letters, digits and `_` that"),
        (&with("name = ''\nvalues = [1]"), "the name `` is not a word of letters, digits and `_` that"),
        (&with("name = 'and'\nvalues = [1]"), "the name `and` is a word of the expressions; choose another"),
        (
            &with(&format!("{one}[[parameter]]\n{one}")),
            "parameters `a` and `a` have the same column `a`; give each",
        ),
        (
            &with(&format!("{one}[[parameter]]\nname = 'b'\ncolumn = 'a'\nvalues = [1]")),
            "parameters `a` and `b` have the same column `a`; give each its own",
        ),
        (
            &with(&format!("{one}column = 'p1'\n[[parameter]]\n{one}")),
            "the name `a` stands for two things; rename one",
        ),
        (&with(&format!("{one}[constants]\na = 3")), "the name `a` stands for two things; rename one"),
        (&with(&format!("{one}[constants]\nk = inf")), "constant `k` is inf; it must be finite"),
        (&with(&format!("{one}[constants]\nk = 'x'")), "line 6: invalid type: string \"x\", expected f64"),
        (
            &with(&format!("{one}[[metric]]\nname = 'a'\nexpression = '1'")),
            "the name `a` stands for two things; rename one",
        ),
        (
            &with(&format!(
                "{one}[[metric]]\nname = 'm'\nexpression = 'later + 1'\n[[metric]]\nname = 'later'\nexpression = 'a'"
            )),
            "line 7: metric `m`: unknown name `later`; known: a (column 1)\n    later + 1\n    ^",
        ),
        (
            &with(&format!("{one}[[metric]]\nname = 'm'\nexpression = 'm + 1'")),
            "line 7: metric `m`: unknown name `m`; known: a (column 1)\n    m + 1\n    ^",
        ),
        (
            &with(&format!("{one}[[constraint]]\nname = 'c'\nexpression = 'a <= b'")),
            "line 7: constraint `c`: unknown name `b`; known: a (column 6)\n    a <= b\n         ^",
        ),
        (
            &with(&format!(
                "{one}[[constraint]]\nname = 'c'\nexpression = 'a < 2'\n[[constraint]]\nname = 'c'\nexpression = 'a > 0'"
            )),
            "two constraints are called `c`; rename one",
        ),
        (&integers(&[65_536]), "parameter `p0` has 65536 values; at most 65535 fit"),
        (&integers(&[1; 65]), "the space has 65 parameters; at most 64 are supported"),
        (
            &integers(&[2; 64]).replace("[0, 1]", "[0, 1, 2]"),
            "the space has more than 2^64 designs; remove values or",
        ),
    ];
    for (text, message) in cases {
        let error = refusal(text);
        assert!(error.starts_with("space.toml: "), "{error}");
        assert!(
            error.contains(message),
            "{error}\nshould contain {message}\nfor {}",
            &text[..text.len().min(300)]
        );
    }
    let metrics: Vec<String> =
        (0..65).map(|metric| format!("[[metric]]\nname = 'm{metric}'\nexpression = '1'\n")).collect();
    assert!(
        refusal(&with(&format!("{one}{}", metrics.concat())))
            .contains("65 metrics; at most 64 are supported")
    );
    let error = DesignSpace::bundled("prim").unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown design space `prim` (did you mean prime?); bundled: prime, gemmini"
    );
}

// --- counting ----------------------------------------------------------------------------------------------

/// A space of the parameters that the random expressions name, with constraints.
fn constrained(conditions: &[String]) -> DesignSpace {
    let mut text = "name = \"s\"\nconstants = { half = 0.5 }\n".to_owned();
    for (name, values) in [
        ("a", "[1, 2, 3, 5, 8]"),
        ("bc", "[-1.5, 0, 0.5, 4]"),
        ("_d1", "[0, 7, 1e3]"),
        ("flag", "[false, true]"),
        ("flow", "['weight', 'output', 'row stationary']"),
    ] {
        writeln!(text, "[[parameter]]\nname = \"{name}\"\nvalues = {values}").unwrap();
    }
    writeln!(text, "[[metric]]\nname = \"area\"\nexpression = \"a * bc - half\"").unwrap();
    for (position, condition) in conditions.iter().enumerate() {
        writeln!(text, "[[constraint]]\nname = \"c{position}\"\nexpression = '''{condition}'''").unwrap();
    }
    space(&text)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn counts_are_those_of_looking_at_every_design(trees in proptest::collection::vec(conditional(), 0..=3)) {
        let space = constrained(&trees.iter().map(|tree| tree.print(0)).collect::<Vec<_>>());
        let all: Vec<usize> = (0..trees.len()).collect();
        let mut ranks = [0_u8; 5];
        let mut passing = 0_u128;
        for index in 0..space.size() as u64 {
            space.ranks_of(index, &mut ranks);
            passing += u128::from(space.check(&ranks).is_none());
        }
        prop_assert_eq!(space.count(&all, u64::MAX, &|| false), Some(passing));
        // What bounds prove is so.
        prop_assert!(space.check_possible("s").is_ok() || passing == 0);
    }
}

#[test]
fn counts_of_large_spaces() {
    let never = || false;
    // 2^64 designs; the groups of the two constraints multiply, and 54 parameters are free.
    let text = integers(&[2; 64]);
    let with = |constraints: &str| space(&format!("{text}{constraints}"));
    assert_eq!(with("").count(&[], 0, &never), Some(1 << 64));
    let two = with(
        "[[constraint]]\nname = \"a\"\nexpression = \"p0 + p1 + p2 + p3 == 1\"\n\
         [[constraint]]\nname = \"b\"\nexpression = \"p4 * p5 + p6 * p7 + p8 * p9 > 0\"",
    );
    assert_eq!(two.count(&[0, 1], 10_000, &never), Some((4 * (64 - 27)) << 54));
    assert_eq!(two.count(&[0], 10_000, &never), Some(4 << 60));
    assert_eq!(two.count(&[0, 1], 50, &never), None, "more work than allowed");
    assert_eq!(two.count(&[0, 1], 10_000, &|| true), None, "stopped");

    // 65,535 values, two by two: i < j.
    let order = space(&format!(
        "{}[[constraint]]\nname = \"order\"\nexpression = \"p0 < p1\"",
        integers(&[65_535, 65_535])
    ));
    let n = 65_535_u128;
    assert_eq!(order.count(&[0], 1 << 24, &never), Some(n * (n - 1) / 2));

    let prime = DesignSpace::bundled("prime").unwrap();
    let gemmini = DesignSpace::bundled("gemmini").unwrap();
    let all: Vec<usize> = (0..gemmini.constraints().len()).collect();
    let share = gemmini.count(&all, 1 << 24, &never).unwrap() as f64 / gemmini.size() as f64;
    assert!(share > 0.01 && share < 0.2, "{share}");
    assert!(prime.check_possible("prime").is_ok() && gemmini.check_possible("gemmini").is_ok());
}

#[test]
fn constraints_that_nothing_meets_are_named() {
    let possible = |constraints: &[&str]| {
        let conditions: Vec<String> = constraints.iter().map(|&one| one.to_owned()).collect();
        constrained(&conditions).check_possible("space.toml").map_err(|error| error.to_string())
    };
    assert_eq!(possible(&["a > 2", "a < 5"]), Ok(()));
    assert_eq!(
        possible(&["a > 2", "area > 32"]),
        Err("space.toml: no design meets the constraint `c1`: area > 32".to_owned())
    );
    assert_eq!(
        possible(&["false"]),
        Err("space.toml: no design meets the constraint `c0`: false".to_owned())
    );
    assert_eq!(
        possible(&["a < 3", "flag", "a > 4"]),
        Err("space.toml: no design meets all constraints together: c0, c1, c2".to_owned())
    );
}

// --- Gemmini -----------------------------------------------------------------------------------------------

#[test]
fn the_generators_own_configurations_are_designs_of_its_space() {
    let space = DesignSpace::bundled("gemmini").unwrap();
    // Rows and columns of mesh and tile, scratchpad and accumulator in KiB.
    let rank = |name: &str, wanted: &str| {
        let position = space.position(name).unwrap();
        let values = &space.parameters()[position].values;
        (position, values.iter().position(|value| value.to_string() == wanted).unwrap() as u8)
    };
    let design = |mesh: &str, tile: &str, scratchpad: &str, accumulator: &str| {
        let mut ranks = vec![0_u8; space.dimensions()];
        for (name, value) in [
            ("mesh_rows", mesh),
            ("mesh_columns", mesh),
            ("tile_rows", tile),
            ("tile_columns", tile),
            ("dataflow", "ws"),
            ("sp_capacity", scratchpad),
            ("sp_banks", "4"),
            ("acc_capacity", accumulator),
            ("acc_banks", "2"),
            ("acc_sub_banks", "1"),
            ("dma_buswidth", "128"),
            ("dma_maxbytes", "64"),
        ] {
            let (position, rank) = rank(name, value);
            ranks[position] = rank;
        }
        ranks
    };
    for (mesh, tile, scratchpad, accumulator) in [
        ("16", "1", "256", "64"),
        ("16", "1", "64", "32"),
        ("32", "1", "128", "64"),
        ("1", "16", "256", "64"),
    ] {
        assert_eq!(space.check(&design(mesh, tile, scratchpad, accumulator)), None);
    }
    let (dim, rows) = (space.metric_position("dim").unwrap(), space.metric_position("sp_bank_rows").unwrap());
    let default = design("16", "1", "256", "64");
    assert_eq!((space.metric(dim, &default), space.metric(rows, &default)), (16.0, 4096.0));
    // 0.116 + 0.544 + 0.146 mm2.
    let area = space.metric(space.metric_position("area_mm2").unwrap(), &default);
    assert!((area - 0.806).abs() < 0.001, "{area}");
    for (ranks, broken) in [
        (design("1", "1", "256", "64"), "array_size"),
        (design("64", "4", "256", "64"), "array_size"),
        (design("64", "2", "32", "16"), "scratchpad_rows"),
        (design("16", "1", "32", "1024"), "accumulator_tiles"),
    ] {
        let constraint = space.check(&ranks).unwrap();
        assert_eq!(space.constraints()[constraint].name, broken);
    }
}
