//! A plan as an ONNX file: version 17 of the operators, every setting stated, every name a number.

use super::facts::{Fact, Kind, Operand, Setting, kind_of};
use super::{Plan, Planned, Source};
use crate::checkpoint::Tensor;

/// Versions of the format and of the operators.
const FORMAT: u64 = 8;
const OPERATORS: u64 = 17;
/// Element types.
const FLOAT: u64 = 1;
const INT32: u64 = 6;

/// A message of protocol buffers on its way.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(&mut self, field: u64, value: u64) {
        self.varint(field << 3);
        self.varint(value);
    }

    fn float(&mut self, field: u64, value: f32) {
        self.varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }
}

/// The name of a value in the written file.
fn name(value: usize) -> String {
    format!("v{value}")
}

/// Name of the input, and of the outputs by their places.
pub(in crate::predictor) const INPUT: &str = "picture";
pub(in crate::predictor) fn output_name(at: usize) -> String {
    format!("output {at}")
}

pub(super) fn model(plan: &Plan) -> Result<Vec<u8>, String> {
    let mut writer =
        Writer { graph: Message(Vec::with_capacity(plan.weight_bytes as usize + (1 << 16))), constants: 0 };
    writer.plan(plan)?;
    let mut head = Message::default();
    head.number(1, FORMAT);
    let mut operators = Message::default();
    operators.bytes(1, b"");
    operators.number(2, OPERATORS);
    head.bytes(8, &operators.0);
    head.varint(7 << 3 | 2);
    head.varint(writer.graph.0.len() as u64);
    // In front of what is there, so that weights are in memory once.
    let mut bytes = writer.graph.0;
    bytes.splice(0..0, head.0);
    Ok(bytes)
}

struct Writer {
    graph: Message,
    /// Made here, besides those of the file.
    constants: usize,
}

impl Writer {
    fn plan(&mut self, plan: &Plan) -> Result<(), String> {
        self.graph.bytes(2, b"plan");
        let value = &plan.values[plan.input];
        self.node("Identity", "the picture", &[INPUT.into()], &[name(plan.input)], &[]);
        self.value_info(11, INPUT, &value.fact.shape);
        for (at, value) in plan.values.iter().enumerate() {
            match (&value.source, &value.fact.known) {
                (Source::Tensor(tensor), _) => self.tensor(&name(at), tensor)?,
                (Source::Made, Some(known)) => self.known(&name(at), &value.fact, known),
                (Source::Made | Source::Input, _) => {}
            }
        }
        plan.steps.iter().for_each(|planned| self.step(planned));
        for (at, &output) in plan.outputs.iter().enumerate() {
            let count = plan.values[output].fact.len();
            self.output(at, output, count);
        }
        Ok(())
    }

    /// An output in a row, as real numbers.
    fn output(&mut self, at: usize, value: usize, count: u64) {
        let (made, real) = (output_name(at), format!("{} as it is", output_name(at)));
        let row = self.row(&[count as i64]);
        self.node("Cast", &made, &[name(value)], std::slice::from_ref(&real), &[("to", Setting::Int(FLOAT as i64))]);
        self.node("Reshape", &made, &[real, row], std::slice::from_ref(&made), &[]);
        self.value_info(12, &made, &[usize::try_from(count).unwrap_or(usize::MAX)]);
    }

    fn step(&mut self, planned: &Planned) {
        let input = |writer: &mut Writer, operand: &Operand| match operand {
            Operand::Input(at) => planned.inputs.get(*at).copied().flatten().map(name).unwrap_or_default(),
            Operand::Omitted => String::new(),
            Operand::Ints(numbers) => writer.row(numbers),
            Operand::Floats(numbers) => writer.floats(&[numbers.len()], numbers),
            Operand::Scalar(number) => writer.floats(&[], &[*number]),
        };
        let mut inputs = Vec::new();
        for operand in &planned.step.inputs {
            inputs.push(input(self, operand));
        }
        // What is left out at the end is not there.
        while inputs.pop_if(|last| last.is_empty()).is_some() {}
        // Nobody takes those behind the last one.
        let count = planned.outputs.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        let outputs: Vec<String> = planned.outputs[..count].iter().map(|at| at.map(name).unwrap_or_default()).collect();
        self.node(planned.step.operator, &planned.label, &inputs, &outputs, &planned.step.settings);
    }

    fn node(
        &mut self,
        operator: &str,
        label: &str,
        inputs: &[String],
        outputs: &[String],
        settings: &[(&'static str, Setting)],
    ) {
        let mut node = Message::default();
        inputs.iter().for_each(|name| node.bytes(1, name.as_bytes()));
        outputs.iter().for_each(|name| node.bytes(2, name.as_bytes()));
        node.bytes(3, label.as_bytes());
        node.bytes(4, operator.as_bytes());
        for (name, setting) in settings {
            let mut attribute = Message::default();
            attribute.bytes(1, name.as_bytes());
            let kind = match setting {
                Setting::Float(value) => {
                    attribute.float(2, *value);
                    1
                }
                Setting::Int(value) => {
                    attribute.number(3, value.cast_unsigned());
                    2
                }
                Setting::Text(text) => {
                    attribute.bytes(4, text.as_bytes());
                    3
                }
                Setting::Ints(values) => {
                    values.iter().for_each(|value| attribute.number(8, value.cast_unsigned()));
                    7
                }
            };
            attribute.number(20, kind);
            node.bytes(5, &attribute.0);
        }
        self.graph.bytes(1, &node.0);
    }

    /// A constant of whole numbers; its name.
    fn row(&mut self, numbers: &[i64]) -> String {
        let name = self.constant();
        self.whole(&name, &[numbers.len()], numbers);
        name
    }

    fn floats(&mut self, shape: &[usize], numbers: &[f32]) -> String {
        let name = self.constant();
        self.real(&name, shape, numbers);
        name
    }

    fn constant(&mut self) -> String {
        self.constants += 1;
        format!("c{}", self.constants)
    }

    fn known(&mut self, name: &str, fact: &Fact, known: &[f64]) {
        match fact.kind {
            Kind::Whole => self.whole(name, &fact.shape, &known.iter().map(|&x| x as i64).collect::<Vec<_>>()),
            Kind::Real => self.real(name, &fact.shape, &known.iter().map(|&x| x as f32).collect::<Vec<_>>()),
        }
    }

    fn tensor(&mut self, name: &str, tensor: &Tensor) -> Result<(), String> {
        match kind_of(tensor.dtype()) {
            Kind::Whole => self.whole(name, tensor.shape(), &tensor.to_i64()?),
            Kind::Real => self.real(name, tensor.shape(), &tensor.to_f32()?),
        }
        Ok(())
    }

    fn real(&mut self, name: &str, shape: &[usize], numbers: &[f32]) {
        self.tensor_head(name, shape, FLOAT, numbers.len());
        self.graph.0.extend(numbers.iter().flat_map(|x| x.to_le_bytes()));
    }

    /// The runtime knows whole numbers of 32 bits.
    fn whole(&mut self, name: &str, shape: &[usize], numbers: &[i64]) {
        let narrow = |x: &i64| (*x).clamp(i32::MIN.into(), i32::MAX.into()) as i32;
        self.tensor_head(name, shape, INT32, numbers.len());
        self.graph.0.extend(numbers.iter().flat_map(|x| narrow(x).to_le_bytes()));
    }

    /// A tensor without its numbers, of four bytes each, which have to follow.
    fn tensor_head(&mut self, name: &str, shape: &[usize], kind: u64, numbers: usize) {
        let mut tensor = Message::default();
        shape.iter().for_each(|&axis| tensor.number(1, axis as u64));
        tensor.number(2, kind);
        tensor.bytes(8, name.as_bytes());
        tensor.varint(9 << 3 | 2);
        tensor.varint(4 * numbers as u64);
        self.graph.varint(5 << 3 | 2);
        self.graph.varint((tensor.0.len() + 4 * numbers) as u64);
        self.graph.0.extend(tensor.0);
    }

    fn value_info(&mut self, field: u64, name: &str, shape: &[usize]) {
        let mut axes = Message::default();
        for &axis in shape {
            let mut length = Message::default();
            length.number(1, axis as u64);
            axes.bytes(1, &length.0);
        }
        let (mut tensor, mut kind, mut info) = (Message::default(), Message::default(), Message::default());
        tensor.number(1, FLOAT);
        tensor.bytes(2, &axes.0);
        kind.bytes(1, &tensor.0);
        info.bytes(1, name.as_bytes());
        info.bytes(2, &kind.0);
        self.graph.bytes(field, &info.0);
    }
}
