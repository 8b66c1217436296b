"""The smaller commands of `tf-signbin`: each module has add_arguments, run and EXAMPLES."""
