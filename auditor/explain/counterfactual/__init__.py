"""What is the least change that changes the answer?"""
