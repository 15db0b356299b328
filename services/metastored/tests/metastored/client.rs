//! A client that shares no code with the service but the generated rows.

use thrift::protocol::{
    TBinaryInputProtocol, TInputProtocol as _, TMessageType, TSerializable, TType,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// One connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
}

/// An answer: the field of the result that is there, undecoded.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) name: String,
    pub(crate) exception: bool,
    pub(crate) sequence: i32,
    /// Number and type of the first field; `None` for a result without any.
    pub(crate) field: Option<(i16, TType)>,
    /// The first field's value, and what follows.
    pub(crate) value: Vec<u8>,
}

impl Client {
    pub(crate) async fn new(address: std::net::SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        Self { stream, received: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next answer, without a frame.
    pub(crate) async fn answer(&mut self) -> Answer {
        loop {
            if let Some((answer, bytes)) = parse(&self.received) {
                self.received.drain(..bytes);
                return answer;
            }
            let read = self.stream.read_buf(&mut self.received).await.unwrap();
            assert!(read > 0, "the service closed the connection");
        }
    }

    /// Sends a whole message, and waits for the answer.
    pub(crate) async fn call(&mut self, message: &[u8]) -> Answer {
        self.send(message).await;
        self.answer().await
    }

    /// What was answered, as it came: an answer is written at once.
    pub(crate) async fn raw(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 4_096];
        let read = self.stream.read(&mut bytes).await.unwrap();
        bytes.truncate(read);
        bytes
    }

    /// Whether the service closes the connection, having answered nothing more.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let mut rest = [0; 64];
        matches!(self.stream.read(&mut rest).await, Ok(0) | Err(_))
    }
}

/// Reads an answer; `None` while it is not whole.
pub(crate) fn parse(bytes: &[u8]) -> Option<(Answer, usize)> {
    let mut rest = bytes;
    let mut protocol = TBinaryInputProtocol::new(&mut rest, true);
    let head = protocol.read_message_begin().ok()?;
    let start = bytes.len() - protocol.transport.len();
    protocol.skip(TType::Struct).ok()?;
    let end = bytes.len() - protocol.transport.len();
    let exception = head.message_type == TMessageType::Exception;
    let mut value = &bytes[start..end];
    let mut protocol = TBinaryInputProtocol::new(&mut value, true);
    let field = protocol.read_field_begin().unwrap();
    let field = field.id.map(|id| (id, field.field_type)).filter(|(_, kind)| *kind != TType::Stop);
    let value = value.to_vec();
    let (name, sequence) = (head.name, head.sequence_number);
    Some((Answer { name, exception, sequence, field, value }, end))
}

impl Answer {
    pub(crate) fn read<T: TSerializable>(&self) -> T {
        let mut protocol = TBinaryInputProtocol::new(&self.value[..], true);
        T::read_from_in_protocol(&mut protocol).unwrap()
    }

    /// A list of structs.
    pub(crate) fn list<T: TSerializable>(&self) -> Vec<T> {
        let mut protocol = TBinaryInputProtocol::new(&self.value[..], true);
        let head = protocol.read_list_begin().unwrap();
        (0..head.size).map(|_| T::read_from_in_protocol(&mut protocol).unwrap()).collect()
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        assert_eq!(self.field.map(|field| field.0), Some(0), "{}", self.text());
        let mut protocol = TBinaryInputProtocol::new(&self.value[..], true);
        let head = protocol.read_list_begin().unwrap();
        (0..head.size).map(|_| protocol.read_string().unwrap()).collect()
    }

    /// The field of an exception and its text; field 0 is a result.
    pub(crate) fn failure(&self) -> Option<(i16, String)> {
        let (field, kind) = self.field?;
        let failed = field != 0 && kind == TType::Struct;
        failed.then(|| (field, self.read::<driftless_metastored::hive::Message>().message.unwrap()))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.value).into_owned()
    }
}

/// A call whose arguments are texts, with the fields 1, 2, ...
pub(crate) fn texts(name: &str, arguments: &[&str]) -> Vec<u8> {
    let mut fields = Vec::new();
    for (at, text) in arguments.iter().enumerate() {
        fields.push(11);
        fields.extend(i16::try_from(at + 1).unwrap().to_be_bytes());
        fields.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        fields.extend(text.as_bytes());
    }
    fields.push(0);
    message(name, &fields)
}

/// A strict message without a frame.
pub(crate) fn message(name: &str, arguments: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80, 0x01, 0, 1];
    bytes.extend(u32::try_from(name.len()).unwrap().to_be_bytes());
    bytes.extend(name.as_bytes());
    bytes.extend(7_i32.to_be_bytes());
    bytes.extend(arguments);
    bytes
}

/// The same with its length in front.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(message.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(message);
    bytes
}
