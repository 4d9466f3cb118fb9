"""From a prompt to text: encoding it, decoding strategies, streaming."""
