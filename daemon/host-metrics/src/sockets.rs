//! `/proc/net/tcp` and `tcp6`: connections whose other side has closed.
//!
//! A connection in CLOSE_WAIT on a port that this host listens on was opened by a client: it counts for the front. Any
//! other was opened by this host: it counts for the back (databases, upstream services).

use std::collections::HashSet;
use std::io::BufRead;

const CLOSE_WAIT: &str = "08";
const LISTEN: &str = "0A";

/// Ports that are listened on, and the local port of each connection in CLOSE_WAIT.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    listening: HashSet<u16>,
    close_wait: Vec<u16>,
}

impl Sockets {
    /// Adds the lines of one of the files. It is streamed: busy hosts have hundreds of thousands of them.
    pub(crate) fn add(&mut self, file: impl BufRead) {
        for line in file.lines().skip(1).map_while(Result::ok) {
            let mut fields = line.split_whitespace().skip(1);
            let (Some(local), Some(state)) = (fields.next(), fields.nth(1)) else {
                continue;
            };
            let port = local
                .rsplit_once(':')
                .and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
            match (state, port) {
                (LISTEN, Some(port)) => drop(self.listening.insert(port)),
                (CLOSE_WAIT, Some(port)) => self.close_wait.push(port),
                _ => {}
            }
        }
    }

    /// Number of connections in CLOSE_WAIT at the back and at the front.
    pub(crate) fn close_wait(&self) -> (f64, f64) {
        let front = self
            .close_wait
            .iter()
            .filter(|port| self.listening.contains(port))
            .count();
        let back = self.close_wait.len() - front;
        #[expect(clippy::cast_precision_loss, reason = "numbers of sockets")]
        let counts = (back as f64, front as f64);
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::Sockets;

    const TCP: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 0100007F:1F40 0100007F:C350 08 00000000:00000001 00:00000000 00000000     0        0 2 1
   2: 0100007F:C351 0100007F:1538 08 00000000:00000001 00:00000000 00000000     0        0 3 1
   3: 0100007F:C352 0100007F:1538 01 00000000:00000000 00:00000000 00000000     0        0 4 1
";
    const TCP6: &str = "\
  sl  local_address                         remote_address                        st
   0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A
   1: 00000000000000000000000001000000:0050 00000000000000000000000001000000:C353 08
";

    #[test]
    fn sides_are_told_apart_by_the_listening_ports() {
        let mut sockets = Sockets::default();
        sockets.add(TCP.as_bytes());
        sockets.add(TCP6.as_bytes());
        assert_eq!(sockets.close_wait(), (1.0, 2.0));
    }

    #[test]
    fn lines_that_are_no_sockets() {
        let mut sockets = Sockets::default();
        sockets.add("header\n\n0:\n0: x\n0: 1:zz 2:1 08\n0: a b 08 d\n".as_bytes());
        assert_eq!(sockets.close_wait(), (0.0, 0.0));
    }
}
