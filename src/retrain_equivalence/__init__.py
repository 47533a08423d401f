"""Does an unlearned language model behave like one that was retrained without the data?"""
