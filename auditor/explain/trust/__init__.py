"""Which of the maps can be trusted?"""
