//! Expressions over design parameters: the language of a space's constraints and metrics.
//!
//! Grammar, from weakest to strongest: `or`, `and`, `not`, one comparison (`<= < >= > == !=`), `+ -`,
//! `* / // %`, unary `-`, then numbers, `true`/`false`, `"text"`, names, parentheses and the functions `min`,
//! `max`, `abs`, `ceil`, `floor`, `log2`. `//` and `%` round towards minus infinity, as in Python; divisions by
//! zero give an infinity or NaN, as in IEEE 754.
//!
//! Parsing also checks types, so evaluation can't fail: an expression is a [`Number`] or a [`Condition`].
//! A comparison with NaN (0/0, say) does not hold, `!=` included. `min` and `max` pass over NaN. `not` is moved
//! inwards to the comparisons, so that neither of `a < b` and `not a < b` holds where one side is NaN.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Deepest nesting of an expression, so that a hostile file can't exhaust the stack.
const MAX_DEPTH: usize = 64;
/// Longest expression, in bytes.
const MAX_LENGTH: usize = 4096;
/// Characters of an expression that an error shows.
const MAX_SHOWN: usize = 120;
/// Most operands of an expression: a chain of operators nests as deeply as it is long.
const MAX_OPERANDS: usize = 500;

/// An expression with a numeric value.
#[derive(Debug, Clone, PartialEq)]
pub enum Number {
    /// A literal, or a constant of the space.
    Literal(f64),
    /// The value of a numeric parameter, by its position.
    Parameter(usize),
    /// The value of an earlier metric, by its position.
    Metric(usize),
    /// `-a`
    Negate(Box<Number>),
    /// `a op b`
    Arithmetic(Arithmetic, Box<Number>, Box<Number>),
    /// `f(a, ...)`
    Call(Function, Vec<Number>),
}

/// An expression that holds or doesn't.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// `true` or `false`
    Literal(bool),
    /// `parameter == "text"`, or a boolean parameter by itself: the parameter's rank is (or is not) this one.
    Rank {
        /// Position of the parameter.
        parameter: usize,
        /// Rank of the text, or of `true`, among its values.
        rank: usize,
        /// `==` or `!=`.
        equal: bool,
    },
    /// `a op b`
    Compare(Comparison, Number, Number),
    /// `a and b`
    And(Box<Condition>, Box<Condition>),
    /// `a or b`
    Or(Box<Condition>, Box<Condition>),
}

/// Arithmetic operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `//`
    FloorDivide,
    /// `%`
    Modulo,
}

/// Comparison operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

/// Functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// Least of its arguments.
    Min,
    /// Greatest of its arguments.
    Max,
    /// Magnitude.
    Abs,
    /// Round up.
    Ceil,
    /// Round down.
    Floor,
    /// Binary logarithm.
    Log2,
}

/// What a name stands for while an expression is parsed.
#[derive(Debug, Clone)]
pub enum Meaning {
    /// A parameter with numbers as values.
    NumericParameter(usize),
    /// A condition: a parameter with `true` and `false` as values.
    Condition(Condition),
    /// A parameter with texts as values.
    TextParameter(usize, Vec<String>),
    /// A constant, or a metric defined earlier.
    Number(Number),
}

/// The names an expression may use.
pub type Names = BTreeMap<String, Meaning>;

/// Words of the language that no name can be.
const KEYWORDS: [&str; 5] = ["and", "or", "not", "true", "false"];

/// Gives a name a meaning; the error says why it can't have it.
pub fn define(names: &mut Names, name: &str, meaning: Meaning) -> Result<(), String> {
    let word = name.bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'_');
    if !word || name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(format!(
            "the name `{name}` is not a word of letters, digits and `_` that starts with no digit"
        ));
    }
    if KEYWORDS.contains(&name) {
        return Err(format!("the name `{name}` is a word of the expressions; choose another"));
    }
    match names.insert(name.to_owned(), meaning) {
        Some(_) => Err(format!("the name `{name}` stands for two things; rename one")),
        None => Ok(()),
    }
}

/// Values of a design's parameters as an expression sees them.
pub trait Values {
    /// Numeric value of a parameter (1 and 0 for a boolean one).
    fn value(&self, parameter: usize) -> f64;
    /// Rank of a parameter's value.
    fn rank(&self, parameter: usize) -> usize;
    /// Value of a metric.
    fn metric(&self, metric: usize) -> f64;
}

impl Number {
    /// Parses a numeric expression; the error says where and what is wrong.
    pub fn parse(text: &str, names: &Names) -> Result<Self, String> {
        match parse(text, names)? {
            Typed::Number(number) => Ok(number),
            other => Err(located(text, 0, &format!("this is {}; a metric needs a number", other.describe()))),
        }
    }

    /// Calls `f` with every literal, parameter and metric of the expression.
    pub fn leaves(&self, f: &mut impl FnMut(&Self)) {
        match self {
            Self::Literal(_) | Self::Parameter(_) | Self::Metric(_) => f(self),
            Self::Negate(a) => a.leaves(f),
            Self::Arithmetic(_, a, b) => {
                a.leaves(f);
                b.leaves(f);
            }
            Self::Call(_, arguments) => arguments.iter().for_each(|argument| argument.leaves(f)),
        }
    }

    /// Value for one design.
    pub fn evaluate<V: Values>(&self, values: &V) -> f64 {
        match self {
            Self::Literal(value) => *value,
            Self::Parameter(parameter) => values.value(*parameter),
            Self::Metric(metric) => values.metric(*metric),
            Self::Negate(a) => -a.evaluate(values),
            Self::Arithmetic(operator, a, b) => operator.apply(a.evaluate(values), b.evaluate(values)),
            Self::Call(function, arguments) => {
                let mut all = arguments.iter().map(|argument| argument.evaluate(values));
                let first = all.next().unwrap_or(f64::NAN);
                match function {
                    Function::Min => all.fold(first, f64::min),
                    Function::Max => all.fold(first, f64::max),
                    Function::Abs => first.abs(),
                    Function::Ceil => first.ceil(),
                    Function::Floor => first.floor(),
                    Function::Log2 => first.log2(),
                }
            }
        }
    }
}

impl Arithmetic {
    fn apply(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Add => a + b,
            Self::Subtract => a - b,
            Self::Multiply => a * b,
            Self::Divide => a / b,
            Self::FloorDivide if b == 0.0 => a / b,
            Self::FloorDivide => divide_with_rest(a, b).0,
            Self::Modulo => divide_with_rest(a, b).1,
        }
    }
}

/// Quotient rounded towards minus infinity, and the rest, which has the sign of `b`.
fn divide_with_rest(a: f64, b: f64) -> (f64, f64) {
    // Not from the rounded quotient: 1 / 0.1 is 10, though 0.1 as stored goes into 1 nine times.
    let rest = a % b;
    let quotient = ((a - rest) / b).round();
    if rest != 0.0 && (rest < 0.0) != (b < 0.0) { (quotient - 1.0, rest + b) } else { (quotient, rest) }
}

impl Condition {
    /// Parses a condition; the error says where and what is wrong.
    pub fn parse(text: &str, names: &Names) -> Result<Self, String> {
        match parse(text, names)? {
            Typed::Condition(condition) => Ok(condition),
            other => {
                let what = other.describe();
                let message = format!("this is {what}; a constraint needs a comparison such as a <= b");
                Err(located(text, 0, &message))
            }
        }
    }

    /// Whether the condition holds for a design.
    pub fn holds<V: Values>(&self, values: &V) -> bool {
        match self {
            Self::Literal(value) => *value,
            Self::Rank { parameter, rank, equal } => (values.rank(*parameter) == *rank) == *equal,
            Self::Compare(operator, a, b) => operator.holds(a.evaluate(values), b.evaluate(values)),
            Self::And(a, b) => a.holds(values) && b.holds(values),
            Self::Or(a, b) => a.holds(values) || b.holds(values),
        }
    }

    /// How far a design is from meeting the condition: 0 when it holds, else positive. A comparison counts its
    /// gap relative to the larger side, `and` adds, `or` takes the smaller; what has no scale counts 1.
    pub fn violation<V: Values>(&self, values: &V) -> f64 {
        match self {
            Self::And(a, b) => a.violation(values) + b.violation(values),
            Self::Or(a, b) => a.violation(values).min(b.violation(values)),
            _ if self.holds(values) => 0.0,
            Self::Compare(operator, a, b) if *operator != Comparison::NotEqual => {
                let (a, b) = (a.evaluate(values), b.evaluate(values));
                let gap = (a - b).abs() / a.abs().max(b.abs());
                // Zero is a strict comparison of equals: broken, by the least amount.
                if gap.is_finite() { gap.max(f64::EPSILON) } else { 1.0 }
            }
            _ => 1.0,
        }
    }

    /// Calls `f` with every literal, parameter and metric of the numbers that the condition compares.
    pub fn leaves(&self, f: &mut impl FnMut(&Number)) {
        match self {
            Self::Literal(_) | Self::Rank { .. } => {}
            Self::Compare(_, a, b) => {
                a.leaves(f);
                b.leaves(f);
            }
            Self::And(a, b) | Self::Or(a, b) => {
                a.leaves(f);
                b.leaves(f);
            }
        }
    }

    fn negated(self) -> Self {
        match self {
            Self::Literal(value) => Self::Literal(!value),
            Self::Rank { parameter, rank, equal } => Self::Rank { parameter, rank, equal: !equal },
            Self::Compare(operator, a, b) => match operator {
                Comparison::Less => Self::Compare(Comparison::LessEqual, b, a),
                Comparison::LessEqual => Self::Compare(Comparison::Less, b, a),
                Comparison::Equal => Self::Compare(Comparison::NotEqual, a, b),
                Comparison::NotEqual => Self::Compare(Comparison::Equal, a, b),
            },
            Self::And(a, b) => Self::Or(Box::new(a.negated()), Box::new(b.negated())),
            Self::Or(a, b) => Self::And(Box::new(a.negated()), Box::new(b.negated())),
        }
    }
}

impl Comparison {
    #[expect(clippy::float_cmp, reason = "equality of listed values is meant exactly")]
    fn holds(self, a: f64, b: f64) -> bool {
        match self {
            Self::Less => a < b,
            Self::LessEqual => a <= b,
            Self::Equal => a == b,
            Self::NotEqual => a != b && !a.is_nan() && !b.is_nan(),
        }
    }
}

// --- parsing -----------------------------------------------------------------------------------------------

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Number(f64),
    Name(String),
    Text(String),
    Symbol(&'static str),
    End,
}

const SYMBOLS: [&str; 16] =
    ["<=", ">=", "==", "!=", "//", "<", ">", "+", "-", "*", "/", "%", "(", ")", ",", "="];

enum Typed {
    Number(Number),
    Condition(Condition),
    Category(usize, Vec<String>),
    Text(String),
}

impl Typed {
    fn describe(&self) -> &'static str {
        match self {
            Self::Number(_) => "a number",
            Self::Condition(_) => "a condition",
            Self::Category(..) => "a categorical parameter",
            Self::Text(_) => "a text",
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    names: &'a Names,
    tokens: Vec<(Token, usize)>,
    next: usize,
    depth: usize,
    operands: usize,
}

fn located(text: &str, at: usize, message: &str) -> String {
    let column = text[..at.min(text.len())].chars().count() + 1;
    let start = if text.chars().count() > MAX_SHOWN { column.saturating_sub(MAX_SHOWN / 2) } else { 0 };
    let mut shown = text.chars().skip(start);
    let excerpt: String = shown.by_ref().take(MAX_SHOWN).collect();
    let (before, after) =
        (if start > 0 { "..." } else { "" }, if shown.next().is_some() { "..." } else { "" });
    format!("{message} (column {column} of `{before}{excerpt}{after}`)")
}

fn parse(text: &str, names: &Names) -> Result<Typed, String> {
    if text.len() > MAX_LENGTH {
        return Err(format!("the expression has {} bytes, at most {MAX_LENGTH} are allowed", text.len()));
    }
    let mut parser = Parser { text, names, tokens: tokens(text)?, next: 0, depth: 0, operands: 0 };
    let typed = parser.disjunction()?;
    match parser.peek() {
        Token::End => Ok(typed),
        _ => Err(parser.unexpected("an operator or the end")),
    }
}

fn tokens(text: &str) -> Result<Vec<(Token, usize)>, String> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let byte = bytes[at];
        if byte.is_ascii_whitespace() {
            at += 1;
        } else if byte.is_ascii_digit() || byte == b'.' {
            let mut end = at;
            while end < bytes.len()
                && (bytes[end].is_ascii_alphanumeric()
                    || bytes[end] == b'.'
                    || bytes[end] == b'_'
                    || (matches!(bytes[end], b'+' | b'-') && matches!(bytes[end - 1], b'e' | b'E')))
            {
                end += 1;
            }
            let digits = text[at..end].replace('_', "");
            let value: f64 = digits
                .parse()
                .map_err(|_| located(text, at, &format!("`{}` is not a number", &text[at..end])))?;
            if !value.is_finite() {
                return Err(located(text, at, "the number is too large"));
            }
            found.push((Token::Number(value), at));
            at = end;
        } else if byte.is_ascii_alphabetic() || byte == b'_' {
            let length = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
            found.push((Token::Name(rest[..length].to_owned()), at));
            at += length;
        } else if byte == b'"' || byte == b'\'' {
            let Some(length) = rest[1..].find(char::from(byte)) else {
                return Err(located(text, at, "this text has no closing quote"));
            };
            found.push((Token::Text(rest[1..=length].to_owned()), at));
            at += length + 2;
        } else if let Some(symbol) = SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol)) {
            if symbol == "=" {
                return Err(located(text, at, "`=` is not a comparison; write `==`"));
            }
            found.push((Token::Symbol(symbol), at));
            at += symbol.len();
        } else {
            let character = rest.chars().next().unwrap_or('?');
            return Err(located(text, at, &format!("unexpected character `{character}`")));
        }
    }
    found.push((Token::End, text.len()));
    Ok(found)
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        &self.tokens[self.next].0
    }

    fn at(&self) -> usize {
        self.tokens[self.next].1
    }

    fn advance(&mut self) -> Token {
        let token = self.tokens[self.next].0.clone();
        if token != Token::End {
            self.next += 1;
        }
        token
    }

    fn accept(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Token::Symbol(s) if *s == symbol)
            || matches!(self.peek(), Token::Name(name) if name == symbol);
        if found {
            self.next += 1;
        }
        found
    }

    fn error<T>(&self, at: usize, message: &str) -> Result<T, String> {
        Err(located(self.text, at, message))
    }

    fn unexpected(&self, wanted: &str) -> String {
        let mut message = format!("expected {wanted}, found ");
        let _ = match self.peek() {
            Token::Number(value) => write!(message, "`{value}`"),
            Token::Name(name) => write!(message, "`{name}`"),
            Token::Text(text) => write!(message, "\"{text}\""),
            Token::Symbol(symbol) => write!(message, "`{symbol}`"),
            Token::End => write!(message, "the end"),
        };
        located(self.text, self.at(), &message)
    }

    fn number(&self, typed: Typed, at: usize) -> Result<Number, String> {
        match typed {
            Typed::Number(number) => Ok(number),
            other => self.error(at, &format!("expected a number, found {}", other.describe())),
        }
    }

    fn condition(&self, typed: Typed, at: usize) -> Result<Condition, String> {
        match typed {
            Typed::Condition(condition) => Ok(condition),
            other => self.error(at, &format!("expected a condition, found {}", other.describe())),
        }
    }

    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        if self.depth == MAX_DEPTH {
            return self.error(self.at(), "the expression is nested too deeply");
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn disjunction(&mut self) -> Result<Typed, String> {
        let mut at = self.at();
        let mut left = self.deeper(Self::conjunction)?;
        while self.accept("or") {
            let a = self.condition(left, at)?;
            at = self.at();
            let right = self.deeper(Self::conjunction)?;
            left = Typed::Condition(Condition::Or(Box::new(a), Box::new(self.condition(right, at)?)));
        }
        Ok(left)
    }

    fn conjunction(&mut self) -> Result<Typed, String> {
        let mut at = self.at();
        let mut left = self.negation()?;
        while self.accept("and") {
            let a = self.condition(left, at)?;
            at = self.at();
            let right = self.negation()?;
            left = Typed::Condition(Condition::And(Box::new(a), Box::new(self.condition(right, at)?)));
        }
        Ok(left)
    }

    fn negation(&mut self) -> Result<Typed, String> {
        if self.accept("not") {
            let at = self.at();
            let inner = self.deeper(Self::negation)?;
            return Ok(Typed::Condition(self.condition(inner, at)?.negated()));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Typed, String> {
        let at = self.at();
        let left = self.sum()?;
        let Token::Symbol(symbol @ ("<=" | "<" | ">=" | ">" | "==" | "!=")) = *self.peek() else {
            return Ok(left);
        };
        self.next += 1;
        let right_at = self.at();
        let right = self.sum()?;
        if let Token::Symbol("<=" | "<" | ">=" | ">" | "==" | "!=") = self.peek() {
            return self.error(self.at(), "comparisons don't chain; join two with `and`");
        }
        let (category, text) = match (left, right) {
            (Typed::Category(parameter, values), Typed::Text(text))
            | (Typed::Text(text), Typed::Category(parameter, values)) => ((parameter, values), text),
            (left, right) => {
                let (a, b) = (self.number(left, at)?, self.number(right, right_at)?);
                return Ok(Typed::Condition(match symbol {
                    "<=" => Condition::Compare(Comparison::LessEqual, a, b),
                    "<" => Condition::Compare(Comparison::Less, a, b),
                    ">=" => Condition::Compare(Comparison::LessEqual, b, a),
                    ">" => Condition::Compare(Comparison::Less, b, a),
                    "==" => Condition::Compare(Comparison::Equal, a, b),
                    _ => Condition::Compare(Comparison::NotEqual, a, b),
                }));
            }
        };
        if symbol != "==" && symbol != "!=" {
            return self.error(at, "texts compare by == and != only");
        }
        let (parameter, values) = category;
        let Some(rank) = values.iter().position(|value| *value == text) else {
            let listed = values.join(", ");
            return self.error(right_at, &format!("\"{text}\" is not among the values: {listed}"));
        };
        Ok(Typed::Condition(Condition::Rank { parameter, rank, equal: symbol == "==" }))
    }

    fn sum(&mut self) -> Result<Typed, String> {
        self.chain(&[("+", Arithmetic::Add), ("-", Arithmetic::Subtract)], Self::product)
    }

    fn product(&mut self) -> Result<Typed, String> {
        let operators = [
            ("*", Arithmetic::Multiply),
            ("//", Arithmetic::FloorDivide),
            ("/", Arithmetic::Divide),
            ("%", Arithmetic::Modulo),
        ];
        self.chain(&operators, Self::unary)
    }

    fn chain(
        &mut self,
        operators: &[(&str, Arithmetic)],
        operand: fn(&mut Self) -> Result<Typed, String>,
    ) -> Result<Typed, String> {
        let mut at = self.at();
        let mut left = operand(self)?;
        while let Some((_, operator)) = operators.iter().find(|(symbol, _)| self.accept(symbol)) {
            let a = self.number(left, at)?;
            at = self.at();
            let right = operand(self)?;
            let b = self.number(right, at)?;
            left = Typed::Number(Number::Arithmetic(*operator, Box::new(a), Box::new(b)));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Typed, String> {
        if self.accept("-") {
            let at = self.at();
            let inner = self.deeper(Self::unary)?;
            return Ok(Typed::Number(Number::Negate(Box::new(self.number(inner, at)?))));
        }
        self.primary()
    }

    fn primary(&mut self) -> Result<Typed, String> {
        let at = self.at();
        self.operands += 1;
        if self.operands > MAX_OPERANDS {
            return self.error(at, &format!("the expression has more than {MAX_OPERANDS} operands"));
        }
        match self.peek().clone() {
            Token::Number(value) => {
                self.advance();
                Ok(Typed::Number(Number::Literal(value)))
            }
            Token::Text(text) => {
                self.advance();
                Ok(Typed::Text(text))
            }
            Token::Symbol("(") => {
                self.advance();
                let inner = self.deeper(Self::disjunction)?;
                if self.accept(")") { Ok(inner) } else { Err(self.unexpected("`)`")) }
            }
            Token::Name(name) => {
                self.advance();
                if self.accept("(") {
                    return self.call(&name, at);
                }
                self.meaning(&name, at)
            }
            _ => Err(self.unexpected("a number or a name")),
        }
    }

    fn meaning(&self, name: &str, at: usize) -> Result<Typed, String> {
        match (name, self.names.get(name)) {
            ("true" | "false", _) => Ok(Typed::Condition(Condition::Literal(name == "true"))),
            (_, Some(Meaning::NumericParameter(parameter))) => {
                Ok(Typed::Number(Number::Parameter(*parameter)))
            }
            (_, Some(Meaning::Condition(condition))) => Ok(Typed::Condition(condition.clone())),
            (_, Some(Meaning::TextParameter(parameter, values))) => {
                Ok(Typed::Category(*parameter, values.clone()))
            }
            (_, Some(Meaning::Number(number))) => Ok(Typed::Number(number.clone())),
            (_, None) => {
                let known: Vec<&str> = self.names.keys().map(String::as_str).collect();
                let hint = crate::suggest::did_you_mean(name, known.iter().copied());
                self.error(at, &format!("unknown name `{name}`{hint}; known: {}", known.join(", ")))
            }
        }
    }

    fn call(&mut self, name: &str, at: usize) -> Result<Typed, String> {
        let (function, arguments) = match name {
            "min" => (Function::Min, 2..=usize::MAX),
            "max" => (Function::Max, 2..=usize::MAX),
            "abs" => (Function::Abs, 1..=1),
            "ceil" => (Function::Ceil, 1..=1),
            "floor" => (Function::Floor, 1..=1),
            "log2" => (Function::Log2, 1..=1),
            _ => {
                return self.error(
                    at,
                    &format!("unknown function `{name}`; known: min, max, abs, ceil, floor, log2"),
                );
            }
        };
        let mut given = Vec::new();
        loop {
            let argument_at = self.at();
            let argument = self.deeper(Self::disjunction)?;
            given.push(self.number(argument, argument_at)?);
            if self.accept(")") {
                break;
            }
            if !self.accept(",") {
                return Err(self.unexpected("`,` or `)`"));
            }
        }
        if !arguments.contains(&given.len()) {
            let wanted = if *arguments.start() == 1 { "one argument" } else { "at least two arguments" };
            return self.error(at, &format!("`{name}` takes {wanted}, found {}", given.len()));
        }
        Ok(Typed::Number(Number::Call(function, given)))
    }
}
