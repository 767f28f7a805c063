"""What a vendor request asked for, read from its body while it is there: conversation, definitions, pictures, our count."""
