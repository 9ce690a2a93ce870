"""One model, many tasks: learners, their controls, and the protocol they are judged by."""
