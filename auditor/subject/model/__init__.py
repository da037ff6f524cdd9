"""Models behind one protocol, whatever they were written with. Importing this sets Keras to TensorFlow."""

from auditor.subject.model.backend import take_tensorflow

OTHER_BACKEND = take_tensorflow()
"""What to say of the backend that Keras was set to, where that was another."""
