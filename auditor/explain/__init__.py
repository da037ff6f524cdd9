"""One folder per question that is put to the model; none of them decides."""
