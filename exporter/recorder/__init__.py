"""The recorder: a streaming pass-through in front of a model vendor that writes down what the vendor counted.

Two processes, so that recording can never break a model call: one passes bytes on and copies them aside (`proxy`), the
other reads the copies, makes vendor records of them and hands those on (`store`). Neither needs Dify or a state file.
"""
