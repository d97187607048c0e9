//! Walks through the forward function of an archive with flows in the place of tensors. Nothing runs: conditions are
//! decided where they are about shapes and settings, and everything else is an obstacle by name.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::flow::{Flow, Flowing, Obstacle, unknown};
use super::super::state_dict::StateDict;
use super::super::stated::Width;
use super::syntax::{self, Expr, Function, Statement};
use super::{ROOT, object};
use crate::checkpoint::{self, Script, Tree};
use crate::recipe::Input;

/// Expressions looked at in one walk.
const MAX_EXPRESSIONS: usize = 1_000_000;
/// Rounds of one loop, which are over the axes of a tensor.
const MAX_REPEATS: i64 = 64;
/// Parts of a list that grows.
const MAX_LIST: usize = 1000;
/// Functions within functions.
const MAX_CALLS: usize = 40;

/// What an expression stands for.
#[derive(Clone, Debug)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// The size of the batch.
    Batch,
    List(Vec<Value>),
    Flow(Flow),
    /// A parameter or constant, by its name in the state dict.
    Tensor(String),
    /// A module: its dotted name, and the object.
    Module(String, checkpoint::Value),
    /// A name that starts at the top, such as `torch.relu`.
    Path(String),
    /// Something that depends on what is not known here.
    Unknown,
}

pub(super) struct Run<'a> {
    pub(super) tree: &'a Tree,
    script: &'a Script,
    pub(super) state: &'a mut StateDict,
    pub(super) classes: Option<usize>,
    functions: HashMap<(String, String), Arc<Function>>,
    expressions: usize,
    calls: usize,
}

type Scope = HashMap<String, Value>;

impl<'a> Run<'a> {
    pub(super) fn new(tree: &'a Tree, script: &'a Script, state: &'a mut StateDict) -> Run<'a> {
        let functions = HashMap::new();
        Run { tree, script, state, classes: None, functions, expressions: MAX_EXPRESSIONS, calls: MAX_CALLS }
    }

    /// The root's forward function, from the inputs to what it returns.
    pub(super) fn forward(&mut self, inputs: &[Input], width: Width) -> Flowing<(Flow, Option<usize>)> {
        let root = Value::Module(String::new(), self.tree.root());
        let flows = inputs.iter().map(|input| {
            let mut shape = if *input == Input::Z { vec![width.features] } else { Vec::new() };
            shape.resize(shape.len() + if *input == Input::Z { width.ones } else { 0 }, 1);
            Value::Flow(Flow::start(*input, shape))
        });
        let result = self.method(&root, "forward", flows.collect())?;
        let result = match result {
            Value::List(parts) => parts.into_iter().find(|part| matches!(part, Value::Flow(_))),
            other => Some(other),
        };
        match result {
            Some(Value::Flow(flow)) => Ok((flow, self.classes)),
            _ => unknown("no result that depends on the code"),
        }
    }

    /// The text of a class.
    pub(super) fn class(&self, class: &str) -> Option<&'a str> {
        let (file, name) = class.rsplit_once('.')?;
        syntax::class(self.script.code.get(file)?, name)
    }

    pub(super) fn function(&mut self, class: &str, name: &str) -> Result<Arc<Function>, String> {
        let key = (class.to_string(), name.to_string());
        if let Some(function) = self.functions.get(&key) {
            return Ok(function.clone());
        }
        let text =
            self.class(class).ok_or_else(|| format!("the class {class:.200}, which has no code in the archive"))?;
        let function =
            syntax::function(text, name, 2).ok_or_else(|| format!("{class:.200}, which has no function {name:.80}"))?;
        let function = Arc::new(function.map_err(|what| format!("the code of {class:.200}: {what:.200}"))?);
        self.functions.insert(key, function.clone());
        Ok(function)
    }

    /// A method of a module.
    pub(super) fn method(&mut self, module: &Value, name: &str, arguments: Vec<Value>) -> Flowing<Value> {
        let Value::Module(path, value) = module else { return unknown(format!("a function {name:.80} of no module")) };
        let class = object(self.tree, *value).map(|object| object.class.to_string()).unwrap_or_default();
        if name == "forward"
            && let Some(done) = self.known_module(path, *value, &class, &arguments)?
        {
            return Ok(done);
        }
        let function = self.function(&class, name).map_err(Obstacle::Unknown)?;
        self.calls = self
            .calls
            .checked_sub(1)
            .ok_or_else(|| Obstacle::Unknown(format!("functions within functions, deeper than {MAX_CALLS}")))?;
        let mut scope = Scope::new();
        scope.insert(function.this.clone(), module.clone());
        for (at, (parameter, default)) in function.parameters.iter().enumerate() {
            let value = match (arguments.get(at), default) {
                (Some(value), _) => value.clone(),
                (None, Some(default)) => self.value(default, &Scope::new())?,
                (None, None) => return unknown(format!("{class:.200} called without {parameter:.80}")),
            };
            scope.insert(parameter.clone(), value);
        }
        let result = self.block(&function.body, &mut scope)?;
        self.calls += 1;
        Ok(result.unwrap_or(Value::None))
    }

    /// What the statements return, if they do.
    fn block(&mut self, statements: &[Statement], scope: &mut Scope) -> Flowing<Option<Value>> {
        for statement in statements {
            match statement {
                Statement::Do(value) | Statement::Assign(_, value) if appended(value).is_some() => {
                    self.append(value, scope)?;
                }
                Statement::Do(value) => {
                    self.value(value, scope)?;
                }
                Statement::Repeat(name, count, body) => {
                    let Value::Int(count @ 0..=MAX_REPEATS) = self.value(count, scope)? else {
                        return unknown("a loop whose length is not stated");
                    };
                    for at in 0..count {
                        scope.insert(name.clone(), Value::Int(at));
                        if let Some(result) = self.block(body, scope)? {
                            return Ok(Some(result));
                        }
                    }
                }
                Statement::Return(value) => return self.value(value, scope).map(Some),
                Statement::Assign(names, value) => {
                    let value = self.value(value, scope)?;
                    match (names.as_slice(), value) {
                        ([name], value) => {
                            scope.insert(name.clone(), value);
                        }
                        (names, Value::List(parts)) if parts.len() == names.len() => {
                            scope.extend(names.iter().cloned().zip(parts));
                        }
                        (names, _) => scope.extend(names.iter().map(|name| (name.clone(), Value::Unknown))),
                    }
                }
                Statement::If(condition, yes, no) => {
                    let chosen = match self.value(condition, scope)? {
                        Value::Bool(true) => yes,
                        Value::Bool(false) | Value::None => no,
                        // Checks that raise are not for networks that work.
                        _ if raises(yes) => no,
                        _ if raises(no) => yes,
                        _ => return unknown("a condition on what is not stated"),
                    };
                    if let Some(result) = self.block(chosen, scope)? {
                        return Ok(Some(result));
                    }
                }
                Statement::Other(word) => return unknown(format!("a statement {word:?}")),
            }
        }
        Ok(None)
    }

    /// `torch.append(list, value)`, which changes the list.
    fn append(&mut self, call: &Expr, scope: &mut Scope) -> Flowing<()> {
        let Some((name, value)) = appended(call) else { return Ok(()) };
        let value = self.value(value, scope)?;
        match scope.get_mut(name) {
            Some(Value::List(parts)) if parts.len() < MAX_LIST => parts.push(value),
            Some(list) => *list = Value::Unknown,
            None => {}
        }
        Ok(())
    }

    fn value(&mut self, expression: &Expr, scope: &Scope) -> Flowing<Value> {
        let left = self.expressions.checked_sub(1);
        self.expressions = left.ok_or_else(|| Obstacle::Unknown(format!("more than {MAX_EXPRESSIONS} expressions")))?;
        Ok(match expression {
            Expr::None => Value::None,
            Expr::Bool(value) => Value::Bool(*value),
            Expr::Int(value) => Value::Int(*value),
            Expr::Float(value) => Value::Float(*value),
            Expr::Text(text) => Value::Text(text.clone()),
            Expr::Name(name) => scope.get(name).cloned().unwrap_or_else(|| Value::Path(name.clone())),
            Expr::List(parts) => Value::List(self.values(parts.iter(), scope)?),
            Expr::Attribute(base, name) => match self.value(base, scope)? {
                Value::Path(path) => self.path(&path, name),
                module @ Value::Module(..) => self.attribute(&module, name),
                Value::Unknown => Value::Unknown,
                _ => return unknown(format!("the attribute {name:.80}")),
            },
            Expr::Index(base, at) => {
                let (base, at) = (self.value(base, scope)?, self.value(at, scope)?);
                match (base, at) {
                    (Value::List(parts), Value::Int(at)) => {
                        let at = if at < 0 { at + parts.len() as i64 } else { at };
                        usize::try_from(at).ok().and_then(|at| parts.get(at).cloned()).unwrap_or(Value::Unknown)
                    }
                    // A type, such as List[int].
                    (Value::Path(path), _) => Value::Path(path),
                    _ => Value::Unknown,
                }
            }
            Expr::Call(callee, arguments) => return self.call(callee, arguments, scope),
            Expr::Operator(operator, parts) => {
                let values = self.values(parts.iter(), scope)?;
                return self.operator(operator, values);
            }
        })
    }

    fn values<'b>(&mut self, parts: impl Iterator<Item = &'b Expr>, scope: &Scope) -> Flowing<Vec<Value>> {
        parts.map(|part| self.value(part, scope)).collect()
    }

    fn path(&self, path: &str, name: &str) -> Value {
        let full = format!("{path}.{name}");
        if path == "CONSTANTS" && self.state.has(&full) { Value::Tensor(full) } else { Value::Path(full) }
    }

    /// An attribute of a module.
    pub(super) fn attribute(&self, module: &Value, name: &str) -> Value {
        let Value::Module(path, value) = module else { return Value::Unknown };
        let full = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
        if self.state.has(&full) {
            return Value::Tensor(full);
        }
        let found = object(self.tree, *value).and_then(|object| self.tree.get(object.state, name));
        match found {
            Some(child) if object(self.tree, child).is_some() => Value::Module(full, child),
            Some(child) => self.plain(child),
            None => Value::Unknown,
        }
    }

    /// A number, a flag, a text or a list of these.
    fn plain(&self, value: checkpoint::Value) -> Value {
        match value {
            checkpoint::Value::None => Value::None,
            checkpoint::Value::Bool(flag) => Value::Bool(flag),
            checkpoint::Value::Int(number) => Value::Int(number),
            checkpoint::Value::Float(number) => Value::Float(number),
            checkpoint::Value::Node(_) => {
                if let Some(text) = self.tree.text(value) {
                    return Value::Text(text.into());
                }
                let numbers = self.tree.items(value).filter(|items| items.len() <= 16);
                let numbers = numbers.map(|items| {
                    items.iter().map(|&item| match item {
                        checkpoint::Value::Node(_) => Value::Unknown,
                        other => self.plain(other),
                    })
                });
                numbers.map_or(Value::Unknown, |numbers| Value::List(numbers.collect()))
            }
        }
    }

    fn call(&mut self, callee: &Expr, arguments: &[(Option<String>, Expr)], scope: &Scope) -> Flowing<Value> {
        if let Expr::Attribute(base, method) = callee {
            let base = self.value(base, scope)?;
            if matches!(base, Value::Module(..)) {
                let arguments = self.values(arguments.iter().map(|(_, argument)| argument), scope)?;
                return self.method(&base, method, arguments);
            }
        }
        let callee = self.value(callee, scope)?;
        let named = arguments.iter().filter_map(|(name, argument)| Some((name.clone()?, argument)));
        let named: Vec<(String, &Expr)> = named.collect();
        let values = self.values(arguments.iter().filter(|(name, _)| name.is_none()).map(|(_, a)| a), scope)?;
        let named = named.into_iter().map(|(name, argument)| Ok((name, self.value(argument, scope)?)));
        let named = named.collect::<Flowing<Vec<_>>>()?;
        match callee {
            Value::Path(path) => self.builtin(&path, &values, &named),
            _ => unknown("a call of what is no function"),
        }
    }

    /// Functions of the language, and operators on tensors.
    fn builtin(&mut self, path: &str, values: &[Value], named: &[(String, Value)]) -> Flowing<Value> {
        let first = || values.first().cloned().unwrap_or(Value::Unknown);
        Ok(match (path, values) {
            ("getattr", [module, Value::Text(name)]) => self.attribute(module, name),
            ("annotate" | "unchecked_cast" | "torch.jit.annotate", [_, value]) => value.clone(),
            ("uninitialized", _) => Value::Unknown,
            ("int" | "float" | "ops.prim.NumToTensor" | "torch.IntImplicit" | "torch.scalar_tensor", [_]) => first(),
            ("bool", [value]) => value.clone(),
            ("torch.format" | "ops.prim.RaiseException", _) => Value::Unknown,
            ("torch.dim", [Value::Flow(flow)]) => Value::Int(1 + flow.shape().len() as i64),
            ("torch.len", [Value::List(parts)]) => Value::Int(parts.len() as i64),
            ("torch.size", [Value::Flow(flow), rest @ ..]) => {
                let sizes = flow.shape().iter().map(|&size| Value::Int(size as i64));
                let sizes: Vec<Value> = std::iter::once(Value::Batch).chain(sizes).collect();
                match rest {
                    [Value::Int(at)] => {
                        let at = if *at < 0 { at + sizes.len() as i64 } else { *at };
                        usize::try_from(at).ok().and_then(|at| sizes.get(at).cloned()).unwrap_or(Value::Unknown)
                    }
                    _ => Value::List(sizes),
                }
            }
            ("torch.__contains__", [Value::List(parts), Value::Text(text)]) => {
                Value::Bool(parts.iter().any(|part| matches!(part, Value::Text(known) if known == text)))
            }
            ("torch.__contains__", [Value::List(parts), Value::Int(number)]) => {
                Value::Bool(parts.iter().any(|part| matches!(part, Value::Int(known) if known == number)))
            }
            ("torch.__range_length", [Value::Int(from), Value::Int(to), Value::Int(1)]) => {
                Value::Int(to.saturating_sub(*from).max(0))
            }
            ("torch.__derive_index", [Value::Int(at), Value::Int(from), Value::Int(1)]) => {
                Value::Int(at.saturating_add(*from))
            }
            ("torch.__is__", _) => return self.operator("is", values.to_vec()),
            ("torch.__isnot__", _) => return self.operator("is not", values.to_vec()),
            ("torch.__not__", _) => return self.operator("not", values.to_vec()),
            _ => {
                let numbers =
                    !values.iter().any(|value| matches!(value, Value::Flow(_) | Value::Tensor(_) | Value::Path(_)));
                let operator = match path.strip_prefix("torch.").unwrap_or_default() {
                    "eq" => "==",
                    "ne" => "!=",
                    "lt" => "<",
                    "le" => "<=",
                    "gt" => ">",
                    "ge" => ">=",
                    "add" => "+",
                    "sub" => "-",
                    "mul" => "*",
                    "floordiv" | "floor_divide" => "//",
                    _ => "",
                };
                if numbers && !operator.is_empty() {
                    return self.operator(operator, values.to_vec());
                }
                return self.tensor_operator(path, values, named);
            }
        })
    }

    /// Arithmetic and comparisons of settings and sizes.
    #[expect(clippy::unused_self, clippy::needless_pass_by_value, reason = "one shape for all evaluations")]
    fn operator(&self, operator: &str, values: Vec<Value>) -> Flowing<Value> {
        let number = |value: &Value| match value {
            Value::Int(number) => Some(*number as f64),
            Value::Float(number) => Some(*number),
            _ => None,
        };
        Ok(match (operator, values.as_slice()) {
            ("is" | "is not", [value, Value::None]) => match value {
                Value::Unknown => Value::Unknown,
                value => Value::Bool(matches!(value, Value::None) == (operator == "is")),
            },
            ("not", [Value::Bool(flag)]) => Value::Bool(!flag),
            ("and", [Value::Bool(a), Value::Bool(b)]) => Value::Bool(*a && *b),
            ("or", [Value::Bool(a), Value::Bool(b)]) => Value::Bool(*a || *b),
            // a if condition else b
            ("if", [a, condition, b]) => match condition {
                Value::Bool(true) => a.clone(),
                Value::Bool(false) => b.clone(),
                _ => Value::Unknown,
            },
            ("==" | "!=", [Value::Text(a), Value::Text(b)]) => Value::Bool((a == b) == (operator == "==")),
            ("*", [Value::Batch, Value::Int(1)] | [Value::Int(1), Value::Batch]) => Value::Batch,
            (_, [Value::Int(a), Value::Int(b)]) if matches!(operator, "+" | "-" | "*" | "//" | "%") => {
                let result = match operator {
                    "+" => a.checked_add(*b),
                    "-" => a.checked_sub(*b),
                    "*" => a.checked_mul(*b),
                    "//" => a.checked_div_euclid(*b),
                    _ => a.checked_rem_euclid(*b),
                };
                result.map_or(Value::Unknown, Value::Int)
            }
            (_, [a, b]) => match number(a).zip(number(b)) {
                Some((a, b)) => match operator {
                    "==" => Value::Bool(a == b),
                    "!=" => Value::Bool(a != b),
                    "<" => Value::Bool(a < b),
                    "<=" => Value::Bool(a <= b),
                    ">" => Value::Bool(a > b),
                    ">=" => Value::Bool(a >= b),
                    "+" => Value::Float(a + b),
                    "-" => Value::Float(a - b),
                    "*" => Value::Float(a * b),
                    "/" => Value::Float(a / b),
                    _ => Value::Unknown,
                },
                None => Value::Unknown,
            },
            _ => Value::Unknown,
        })
    }
}

/// The name of the list and the value of `torch.append(list, value)`.
fn appended(call: &Expr) -> Option<(&str, &Expr)> {
    let Expr::Call(callee, arguments) = call else { return None };
    match (&**callee, arguments.as_slice()) {
        (Expr::Attribute(_, append), [(_, Expr::Name(list)), (_, value)]) if append == "append" => Some((list, value)),
        _ => None,
    }
}

/// True if the statements raise an exception.
fn raises(statements: &[Statement]) -> bool {
    statements.iter().any(|statement| {
        matches!(statement, Statement::Do(Expr::Call(callee, _))
            if matches!(&**callee, Expr::Attribute(_, name) if name == "RaiseException"))
    })
}

/// The last part of a class's name without what made it unique: "ConvTranspose2d" of
/// `__torch__.torch.nn.modules.conv.___torch_mangle_0.ConvTranspose2d`, if it is one of PyTorch's own.
pub(super) fn own_class(class: &str) -> Option<&str> {
    class.strip_prefix(ROOT)?.strip_prefix("torch.nn.modules.")?.rsplit('.').next()
}
